//! A connection is lost between two requests, during a query, or while it opens. No request fails.

use std::time::Duration;

use list_chat_sessions::{
    config::{Config, DatabaseSource},
    database::{ConnectionSettings, MAX_CONNECTIONS, MAX_EXECUTIONS, RETRIES, TlsPolicy},
    error::Error,
};
use testkit::{Chaos, Database, NetworkFault, Phase, Server, TestApp, app::secrets, end_connections, processes, role};
use tokio_postgres::Client;

fn ok() -> (u16, String) {
    (200, "ok".into())
}

#[tokio::test]
async fn a_connection_ended_between_requests_fails_no_request() {
    let test = TestApp::start().await;
    let admin = test.database.client().await.unwrap();
    for _ in 0..20 {
        assert_eq!(test.outcome().await, ok());
        end_connections(&admin).await.unwrap();
    }
    assert_eq!(test.outcome().await, ok());
}

#[tokio::test]
async fn a_connection_ended_during_a_query_or_its_check_is_replaced_once() {
    for opens in [false, true] {
        let test = TestApp::start().await;
        let end = async |admin: &Client| {
            end_connections(admin).await.unwrap();
        };
        assert_eq!(outcome_if_lost(opens, &test, end).await, ok(), "opens: {opens}");
    }
}

#[tokio::test]
async fn a_connection_lost_in_the_network_is_replaced_once() {
    for (opens, fault) in [(false, NetworkFault::Reset), (true, NetworkFault::Reset), (true, NetworkFault::HalfClose)] {
        let (test, chaos) = behind_chaos().await;
        let lose = async |_: &Client| chaos.inject_now(fault);
        assert_eq!(outcome_if_lost(opens, &test, lose).await, ok(), "opens: {opens}, {fault:?}");
        assert_eq!(chaos.injected(), 1, "{fault:?}");
    }
}

/// The network resets every connection that returns rows, so every retry fails as well.
#[tokio::test]
async fn a_query_gives_up_after_its_last_retry() {
    let (test, chaos) = behind_chaos().await;
    assert_eq!(test.outcome().await, ok());
    chaos.inject_at(Phase::Rows, NetworkFault::Reset);
    let (page, resent) = test.read_page().await;
    assert!(matches!(page, Err(Error::Unavailable(_))), "{page:?}");
    // The open connection is lost during the statement, and every new one during its first check.
    let opened = 1 + RETRIES.lost_while_connecting;
    assert_eq!((u32::try_from(chaos.injected()).unwrap(), resent), (1 + opened, RETRIES.connection_lost));
    assert!(opened <= MAX_CONNECTIONS && resent < MAX_EXECUTIONS);
}

/// An app that reaches its database through a network that fails on command.
async fn behind_chaos() -> (TestApp, Chaos) {
    let database = Database::create(Server::shared()).await.unwrap();
    let chaos = Chaos::start(Server::shared().port()).await.unwrap();
    let [direct, through] = [Server::shared().port(), chaos.port()].map(|port| format!(":{port}/"));
    let login =
        ConnectionSettings::from_url(&database.url().replace(&direct, &through), &TlsPolicy::default()).unwrap();
    let configure = |config: &mut Config| config.database = DatabaseSource::Url(login.into());
    (TestApp::start_on(database, secrets().await, configure).await, chaos)
}

/// A connection that was idle for more than a second may have been lost during a freeze, so the function checks it.
/// Otherwise the statement would be sent twice, and the log would count a retry after every freeze.
#[tokio::test]
async fn a_connection_lost_after_more_than_a_second_idle_is_replaced_without_a_retry() {
    let (test, chaos) = behind_chaos().await;
    assert_eq!(test.outcome().await, ok());
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    chaos.inject_at(Phase::Check, NetworkFault::Stall);
    let ((page, resent), ()) = tokio::join!(test.read_page(), async {
        while chaos.injected() == 0 {
            tokio::task::yield_now().await;
        }
        chaos.end();
    });
    page.unwrap();
    assert_eq!(resent, 0, "the statement was not sent twice");
}

/// The outcome of a request that loses its connection while it waits for a lock, in its query or while the connection opens
/// and reads the policies, and then waits on another connection, with nothing left running on the first.
async fn outcome_if_lost(opens: bool, test: &TestApp, lose: impl AsyncFnOnce(&Client)) -> (u16, String) {
    let (locker, admin) = (test.database.client().await.unwrap(), test.database.client().await.unwrap());
    // Without these timeouts, only the function can end its queries.
    role::set(&admin, "lock_timeout = 0").await;
    role::set(&admin, "statement_timeout = 0").await;
    admin
        .batch_execute(
            "ALTER TABLE chat_sessions ENABLE ROW LEVEL SECURITY;
             CREATE POLICY list_chat_sessions ON chat_sessions TO list_chat_sessions USING (true)",
        )
        .await
        .unwrap();
    end_connections(&admin).await.unwrap();
    if !opens {
        assert_eq!(test.outcome().await, ok());
    }
    let table = if opens { "pg_policy" } else { "chat_sessions" };
    locker.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await.unwrap();
    let fault = async {
        let first = until_one_waits(&admin, 0).await;
        lose(&admin).await;
        until_one_waits(&admin, first).await;
        locker.batch_execute("COMMIT").await.unwrap();
    };
    tokio::join!(test.outcome(), fault).0
}

/// The process in which the function's only query waits for a lock, once that is not the process `not`.
async fn until_one_waits(admin: &Client, not: i32) -> i32 {
    let one = async {
        loop {
            match processes(admin, "wait_event_type = 'Lock'").await.unwrap()[..] {
                [process] if process != not => return process,
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), one).await.expect("no query of the function waits")
}
