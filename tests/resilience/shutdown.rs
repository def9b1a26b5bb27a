//! The end of an environment: Lambda sends SIGTERM, and the process that has not ended 500 ms later is killed.

use std::time::Duration;

use list_chat_sessions::{clock::Deadline, request::ListRequest, sessions};
use testkit::{
    Database, Secrets, TOKEN, TestApp, assert_nothing_runs, environment, plan, processes, request, ring,
    wait_for_running,
};
use tokio::time::timeout;

async fn connections(admin: &tokio_postgres::Client) -> usize {
    processes(admin, "true").await.unwrap().len()
}

async fn started() -> (testkit::Function, Database, Secrets) {
    let (database, secrets) = tokio::join!(environment::database(), environment::secrets_with(ring(&[TOKEN])));
    let variables = [("DATABASE_URL", database.url()), ("AWS_LAMBDA_MAX_CONCURRENCY", "4")];
    (environment::start(&secrets, &variables).await.unwrap(), database, secrets)
}

#[tokio::test]
async fn an_environment_that_ends_leaves_no_connection() {
    let (function, database, _secrets) = started().await;
    let admin = database.client().await.unwrap();
    for _ in 0..3 {
        assert_eq!(environment::status(&function, &request::post(TOKEN, "{}")).await, 200);
        assert_eq!(connections(&admin).await, 1);
        assert!(function.shut_down().await.unwrap().success());
        wait_for_no_connection(&admin).await;
    }
}

/// The server ends a session at Terminate, before the process has ended.
#[tokio::test]
async fn connections_are_closed_while_the_process_still_runs() {
    let test = TestApp::start().await;
    let admin = test.database.client().await.unwrap();
    assert_eq!((test.outcome().await.0, connections(&admin).await), (200, 1));
    test.app.database.close().await;
    wait_for_no_connection(&admin).await;
    assert_eq!(test.outcome().await.0, 200);
}

async fn wait_for_no_connection(admin: &tokio_postgres::Client) {
    let none = async {
        while connections(admin).await > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(Duration::from_secs(5), none).await.expect("the connection is closed");
}

#[tokio::test]
async fn the_query_of_a_dropped_request_is_cancelled() {
    let test = TestApp::start().await;
    let admin = test.database.client().await.unwrap();
    let lock = test.database.client().await.unwrap();
    lock.batch_execute("BEGIN; LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let (caller, list, mut resent) = (plan::caller(), ListRequest::parse(b"{}", 100).unwrap(), 0);
    let deadline = Deadline::within(Duration::from_secs(10));
    let page = sessions::list(&test.app.database, &caller, &list, deadline, &mut resent);
    tokio::select! {
        page = page => panic!("the table is locked: {page:?}"),
        running = wait_for_running(&admin, |running| running == 1) => running.unwrap(),
    }
    test.app.database.close().await;
    assert_nothing_runs(&admin).await;
    wait_for_no_connection(&admin).await;
}

/// The response arrives although the environment ends: nothing polls for another event, but what runs is finished.
#[tokio::test]
async fn an_event_that_is_nearly_done_is_finished() {
    let (function, database, _secrets) = started().await;
    let (admin, lock) = (database.client().await.unwrap(), database.client().await.unwrap());
    lock.batch_execute("BEGIN; LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let end = async {
        wait_for_running(&admin, |running| running == 1).await.unwrap();
        // The signal is sent before the lock is released.
        tokio::join!(function.shut_down(), lock.batch_execute("COMMIT")).0.unwrap()
    };
    let event = request::post(TOKEN, "{}");
    let (status, ended) = tokio::join!(environment::status(&function, &event), end);
    assert_eq!(status, 200);
    assert!(ended.success(), "{ended}");
}

#[tokio::test]
async fn an_event_that_is_not_done_is_cancelled_in_time() {
    let (function, database, _secrets) = started().await;
    let (admin, lock) = (database.client().await.unwrap(), database.client().await.unwrap());
    lock.batch_execute("BEGIN; LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let end = async {
        wait_for_running(&admin, |running| running == 1).await.unwrap();
        function.shut_down().await.unwrap()
    };
    let event = request::post(TOKEN, "{}");
    let (outcome, ended) = tokio::join!(function.invoke(event.to_string()), end);
    assert!(ended.success(), "{ended}");
    assert!(outcome.unwrap().response().is_err());
    assert_nothing_runs(&admin).await;
}
