//! The database is unavailable, slow, out of connections, or has another schema.

use std::time::Duration;

use serde_json::json;
use testkit::{ACCOUNT, Database, Server, ServerOptions, TestApp, assert_nothing_runs, end_connections, request, role};

const OK: (u16, &str) = (200, "ok");
const UNAVAILABLE: (u16, &str) = (503, "service_unavailable");
const TIMEOUT: (u16, &str) = (504, "timeout");

macro_rules! assert_outcome {
    ($test:expr, $expected:expr) => {
        assert_eq!($test.outcome().await, ($expected.0, $expected.1.to_owned()))
    };
}

#[tokio::test]
async fn an_unavailable_database_gives_503_until_it_is_back() {
    let mut server = Server::start().unwrap();
    let test = TestApp::start_with(&server, |_| {}).await;
    assert_outcome!(test, OK);
    for _ in 0..2 {
        server.stop().unwrap();
        let response = test.list(json!({})).await;
        assert_eq!(response.outcome(), (503, "service_unavailable".into()));
        assert_eq!(response.header("retry-after"), Some("5"));
        assert_outcome!(test, UNAVAILABLE);
        server.start_again().unwrap();
        assert_outcome!(test, OK);
    }
}

#[tokio::test]
async fn a_database_that_is_unavailable_during_init_gives_503_until_it_is_back() {
    let mut server = Server::start().unwrap();
    let database = Database::create(&server).await.unwrap();
    server.stop().unwrap();
    let test = TestApp::start_with(Server::shared(), |config| *config = testkit::app::config(&database)).await;
    assert_outcome!(test, UNAVAILABLE);
    server.start_again().unwrap();
    assert_outcome!(test, OK);
}

#[tokio::test]
async fn a_slow_query_gives_504_and_is_cancelled_on_the_server() {
    let test = TestApp::start_with(Server::shared(), |config| config.query_timeout = Duration::from_millis(300)).await;
    let admin = test.database.client().await.unwrap();
    admin.batch_execute("BEGIN; LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE").await.unwrap();
    assert_outcome!(test, TIMEOUT);
    assert_nothing_runs(&test.database.client().await.unwrap()).await;
    admin.batch_execute("COMMIT").await.unwrap();
    assert_outcome!(test, OK);
}

/// The role has no `lock_timeout`, so only the function ends queries that wait for the lock.
#[tokio::test]
async fn a_locked_table_gives_504_every_time_and_leaves_no_query_running() {
    let test = TestApp::start_with(Server::shared(), |config| config.query_timeout = Duration::from_millis(300)).await;
    let [admin, locker] = [test.database.client().await.unwrap(), test.database.client().await.unwrap()];
    for setting in ["lock_timeout = 0", "statement_timeout = 0"] {
        role::set(&admin, setting).await;
    }
    end_connections(&admin).await.unwrap();
    locker.batch_execute("BEGIN; LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE").await.unwrap();
    for _ in 0..3 {
        assert_outcome!(test, TIMEOUT);
        assert_nothing_runs(&admin).await;
    }
    locker.batch_execute("COMMIT").await.unwrap();
    assert_outcome!(test, OK);
}

#[tokio::test]
async fn a_slow_query_gives_504_before_the_invocation_ends() {
    let test = TestApp::start().await;
    let admin = test.database.client().await.unwrap();
    admin.batch_execute("BEGIN; LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let event = request::post(testkit::TOKEN, "{}");
    let invocation = Duration::from_millis(1_500);
    let response = tokio::time::timeout(invocation, test.send_within(&event, invocation)).await.unwrap();
    assert_eq!(response.outcome(), (504, "timeout".into()));
}

#[tokio::test]
async fn a_deadline_in_the_past_is_ignored() {
    let test = TestApp::start().await;
    let event = request::post(testkit::TOKEN, "{}");
    assert_eq!(test.send_by(&event, std::time::UNIX_EPOCH + Duration::from_mins(10)).await.status, 200);
}

#[tokio::test]
async fn the_servers_statement_timeout_gives_504() {
    let test = TestApp::start().await;
    let admin = test.database.client().await.unwrap();
    role::set(&admin, "statement_timeout = 200").await;
    end_connections(&admin).await.unwrap();
    admin.batch_execute("BEGIN; LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE").await.unwrap();
    assert_outcome!(test, TIMEOUT);
}

#[tokio::test]
async fn a_server_without_a_free_connection_gives_503() {
    let settings = vec!["max_connections=4".into(), "superuser_reserved_connections=0".into()];
    let server = Server::start_with(ServerOptions { settings, ..ServerOptions::default() }).unwrap();
    let test = TestApp::start_with(&server, |_| {}).await;
    let admin = test.database.client().await.unwrap();
    end_connections(&admin).await.unwrap();
    let mut others = Vec::new();
    while let Ok(client) = test.database.client().await {
        others.push(client);
    }
    assert_outcome!(test, UNAVAILABLE);
    others.clear();
    drop(admin);
    while test.database.client().await.is_err() {}
    assert_outcome!(test, OK);
}

#[tokio::test]
async fn a_query_that_postgresql_rejects_gives_500_without_its_error_text() {
    let test = TestApp::start().await;
    for sabotage in [
        "ALTER TABLE chat_messages RENAME COLUMN content TO content_secret",
        "ALTER TABLE chat_widgets RENAME TO widgets_secret",
    ] {
        test.database.load(sabotage).await.unwrap();
        let response = test.list(json!({})).await;
        assert_eq!(response.outcome(), (500, "query_error".into()));
        assert_eq!(response.message(), "The query failed");
    }
}

#[tokio::test]
async fn a_column_of_another_type_gives_500_without_its_name() {
    let test = TestApp::start().await;
    let sql = format!(
        "INSERT INTO chat_sessions (widget_id, user_id, visitor_id) SELECT id, user_id, 'v' FROM chat_widgets
         WHERE user_id = '{ACCOUNT}';
         ALTER TABLE chat_sessions ALTER COLUMN created_at TYPE timestamp;"
    );
    test.database.load(&sql).await.unwrap();
    let response = test.list(json!({})).await;
    assert_eq!(response.outcome(), (500, "server_error".into()));
    assert_eq!(response.message(), "Something went wrong");
}
