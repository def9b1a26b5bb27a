//! Host names of PostgreSQL and Secrets Manager that do not resolve as they should.

use list_chat_sessions::{
    config::DatabaseSource,
    database::{ConnectionSettings, TlsPolicy},
};
use serde_json::json;
use testkit::{Database, DeadAddress, Harness, Server, TestApp, app::secrets, binary, faults::names};

/// 503 before the invocation ends, or 200 if another address works; the first request after the fault succeeds; and threads
/// that wait for the resolver do not accumulate.
#[tokio::test]
#[ignore = "needs root, for a name server at port 53: cargo test --test main -- --ignored names"]
async fn host_names_that_resolve_slowly_or_not_give_503_in_time_and_a_dead_first_address_fails_no_request() {
    let reports = names::run(&Harness::quiet(binary()), 1).await.unwrap();
    let text = reports.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(reports.iter().all(|report| report.tried > 0 && report.lost == 0), "{text}");
}

#[tokio::test]
async fn a_host_that_does_not_respond_leaves_time_for_the_next_one() {
    let server = Server::shared();
    let database = Database::create(server).await.unwrap();
    let dead = DeadAddress::hold(server.port()).await.unwrap();
    let port = server.port();
    let here = format!("127.0.0.1:{port}");
    let hosts = format!("{}:{port},{here}", dead.address());
    let login = ConnectionSettings::from_url(&database.url().replace(&here, &hosts), &TlsPolicy::default()).unwrap();
    let source = DatabaseSource::Url(login.into());
    let test = TestApp::start_on(database, secrets().await, |config| config.database = source).await;
    assert_eq!(test.list(json!({})).await.outcome(), (200, "ok".into()));
}
