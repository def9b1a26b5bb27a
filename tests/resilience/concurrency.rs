//! Several events at a time in one environment, as on Lambda Managed Instances.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use testkit::{
    Database, Function, FunctionOptions, Harness, binary, environment, faults::tenants, processes, request, ring,
    wait_for_running,
};

const EVENTS: usize = 4;

/// Locks the table of sessions in a transaction that ends with the client.
async fn locked(database: &Database) -> tokio_postgres::Client {
    let client = database.client().await.unwrap();
    client.batch_execute("BEGIN; LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE").await.unwrap();
    client
}

#[tokio::test]
async fn as_many_events_run_at_a_time_as_lambda_sends() {
    let (database, secrets) = tokio::join!(environment::database(), environment::secrets_with(ring(&[testkit::TOKEN])));
    let variables = [("DATABASE_URL", database.url()), ("AWS_LAMBDA_MAX_CONCURRENCY", "4")];
    let function = environment::start(&secrets, &variables).await.unwrap();
    let (admin, lock) = (database.client().await.unwrap(), locked(&database).await);
    let event = request::post(testkit::TOKEN, "{}");
    let unlock = async {
        wait_for_running(&admin, |running| running == EVENTS).await.unwrap();
        drop(lock);
    };
    let events = join_all((0..EVENTS).map(|_| environment::status(&function, &event)));
    assert_eq!(tokio::join!(events, unlock).0, [200; EVENTS]);
    assert_eq!(processes(&admin, "true").await.unwrap().len(), EVENTS);
}

/// The event that waits must end first, so it has the earlier deadline.
#[tokio::test]
async fn an_event_waits_for_a_connection_until_its_deadline() {
    let (database, secrets) = tokio::join!(environment::database(), environment::secrets_with(ring(&[testkit::TOKEN])));
    let variables = [
        ("API_KEYS_SECRET_ID", "keys"),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.url()),
        ("DATABASE_URL", database.url()),
        ("DATABASE_POOL_SIZE", "1"),
        ("AWS_LAMBDA_MAX_CONCURRENCY", "2"),
    ];
    let function = Function::start(FunctionOptions::new(binary(), &variables)).await.unwrap();
    let (admin, lock) = (database.client().await.unwrap(), locked(&database).await);
    let event = request::post(testkit::TOKEN, "{}");
    let waits = async {
        wait_for_running(&admin, |running| running == 1).await.unwrap();
        let deadline = SystemTime::now() + Duration::from_secs(2);
        let deadline = deadline.duration_since(UNIX_EPOCH).unwrap().as_millis().to_string();
        let headers = vec![("lambda-runtime-deadline-ms", Some(deadline.into_bytes()))];
        let response = function.invoke_with(event.to_string(), headers).await.unwrap().response().unwrap();
        drop(lock);
        response["statusCode"].as_u64().unwrap()
    };
    assert_eq!(tokio::join!(environment::status(&function, &event), waits), (200, 503));
    let log = function.log().join("\n");
    assert!(log.contains("no connection before the deadline"), "{log}");
}

#[tokio::test]
async fn a_thousand_accounts_in_shared_environments_see_only_their_rows() {
    let seed = fastrand::u32(..).into();
    let report = tenants::run(&Harness::quiet(binary()).with_concurrency(EVENTS), 1_000, seed).await.unwrap();
    assert_eq!((report.tried, report.lost), (1_000, 0), "{report}, seed {seed}");
}
