//! Behind PgBouncer in transaction mode, where each statement may run on another connection of the server.

use std::time::{Duration, Instant};

use list_chat_sessions::{
    config::{Config, DatabaseSource},
    database::{ConnectionSettings, Tls, TlsPolicy},
};
use serde_json::json;
use testkit::{
    Authority, Database, Pooler, Server, TestApp,
    app::secrets,
    assert_nothing_runs,
    certificates::NOW,
    contract, end_connections,
    pooler::{self, SERVER_CONNECTIONS},
};
use tokio::task::JoinSet;

/// More than there are connections to the server.
const CLIENTS: usize = 6;

/// An app with these settings and an empty database.
async fn app(database: Database, login: ConnectionSettings, query_timeout: Duration) -> TestApp {
    let configure = |config: &mut Config| {
        config.database = DatabaseSource::Url(login.into());
        config.query_timeout = query_timeout;
    };
    TestApp::start_on(database, secrets().await, configure).await
}

#[tokio::test]
#[ignore = "needs PgBouncer (apt-get install pgbouncer): cargo test --test main -- --ignored pooler"]
async fn every_vector_passes_without_prepared_statements() {
    let off: &[_] = if pooler::version().unwrap() < (1, 21) { &[] } else { &["max_prepared_statements=0"] };
    let pooler = Pooler::start(Server::shared(), off).unwrap();
    let database = contract::database(Server::shared()).await;
    contract::assert_every_vector(&pooler.url(&database), CLIENTS).await;
}

/// PgBouncer before 1.21 does not support prepared statements and rejects the setting: then the test above is enough.
#[tokio::test]
#[ignore = "needs PgBouncer (apt-get install pgbouncer): cargo test --test main -- --ignored pooler"]
async fn every_vector_passes_with_prepared_statements() {
    let pooler = Pooler::start(Server::shared(), &["max_prepared_statements=100"]);
    if pooler::version().unwrap() < (1, 21) {
        let fault = pooler.err().unwrap().to_string();
        assert!(fault.contains("max_prepared_statements"), "{fault}");
        return;
    }
    let database = contract::database(Server::shared()).await;
    contract::assert_every_vector(&pooler.unwrap().url(&database), CLIENTS).await;
}

#[tokio::test]
#[ignore = "needs PgBouncer (apt-get install pgbouncer): cargo test --test main -- --ignored pooler"]
async fn many_clients_share_few_connections_whose_loss_fails_no_request() {
    let pooler = Pooler::start(Server::shared(), &[]).unwrap();
    let database = Database::create(Server::shared()).await.unwrap();
    let admin = database.client().await.unwrap();
    let mut clients = JoinSet::new();
    let until = Instant::now() + Duration::from_millis(1_500);
    for _ in 0..CLIENTS {
        let login = ConnectionSettings::from_url(&pooler.url(&database), &TlsPolicy::default()).unwrap();
        let test = app(database.clone(), login, Duration::from_secs(5)).await;
        clients.spawn(async move {
            while Instant::now() < until {
                assert_eq!(test.list(json!({})).await.outcome(), (200, "ok".into()));
            }
        });
    }
    let count = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while !clients.is_empty() {
        let connections: i64 = admin.query_typed_one(count, &[]).await.unwrap().get(0);
        assert!(connections <= SERVER_CONNECTIONS, "{connections}");
        end_connections(&admin).await.unwrap();
        let pause = tokio::time::sleep(Duration::from_millis(250));
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => break,
                Some(ended) = clients.join_next() => ended.unwrap(),
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs PgBouncer (apt-get install pgbouncer): cargo test --test main -- --ignored pooler"]
async fn a_slow_query_is_cancelled_behind_a_pooler() {
    let pooler = Pooler::start(Server::shared(), &[]).unwrap();
    assert_slow_query_is_cancelled(&pooler, "sslmode=disable", TlsPolicy::default()).await;
}

#[tokio::test]
#[ignore = "needs PgBouncer (apt-get install pgbouncer): cargo test --test main -- --ignored pooler"]
async fn a_slow_query_is_cancelled_behind_a_pooler_with_tls() {
    let authority = Authority::new().unwrap();
    let certificate = authority.certify(&["127.0.0.1"], NOW).unwrap();
    let file = |name: &str, text: &str| {
        let path = Server::shared().folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let settings = [
        "client_tls_sslmode=require",
        &format!("client_tls_cert_file={}", file("pgbouncer.crt", &certificate.chain)),
        &format!("client_tls_key_file={}", file("pgbouncer.key", &certificate.key)),
    ];
    let pooler = Pooler::start(Server::shared(), &settings).unwrap();
    let tls = Some(Tls::from_pem(&authority.pem()).unwrap());
    assert_slow_query_is_cancelled(&pooler, "sslmode=verify-full", TlsPolicy { tls, ..TlsPolicy::default() }).await;
}

async fn assert_slow_query_is_cancelled(pooler: &Pooler, parameters: &str, policy: TlsPolicy) {
    let database = Database::create(Server::shared()).await.unwrap();
    let login = ConnectionSettings::from_url(&format!("{}?{parameters}", pooler.url(&database)), &policy).unwrap();
    let test = app(database, login, Duration::from_millis(300)).await;
    let admin = test.database.client().await.unwrap();
    admin.batch_execute("BEGIN; LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE").await.unwrap();
    assert_eq!(test.list(json!({})).await.outcome(), (504, "timeout".into()));
    assert_nothing_runs(&test.database.client().await.unwrap()).await;
    admin.batch_execute("COMMIT").await.unwrap();
    assert_eq!(test.list(json!({})).await.outcome(), (200, "ok".into()));
}
