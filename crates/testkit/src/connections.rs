//! The function's connections as PostgreSQL sees them, in the database of the client that asks.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio_postgres::Client;

/// How long PostgreSQL may take to do what it is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// The function's connections that match a condition.
const CONNECTIONS: &str =
    "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'list-chat-sessions'";

/// Ends every connection; gives how many there were.
pub async fn end_connections(admin: &Client) -> Result<usize> {
    Ok(admin.query_typed(&format!("SELECT pg_terminate_backend(pid, 5000) {CONNECTIONS}"), &[]).await?.len())
}

/// The processes of the connections that match a condition in SQL.
pub async fn processes(admin: &Client, condition: &str) -> Result<Vec<i32>> {
    let rows = admin.query_typed(&format!("SELECT pid {CONNECTIONS} AND {condition}"), &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The processes of the queries that run.
pub async fn running(admin: &Client) -> Result<Vec<i32>> {
    processes(admin, "state = 'active'").await
}

/// Waits until as many queries run as are wanted, and fails if they never do.
pub async fn wait_for_running(admin: &Client, wanted: fn(usize) -> bool) -> Result<()> {
    let begin = Instant::now();
    while !wanted(running(admin).await?.len()) {
        ensure!(begin.elapsed() < PATIENCE, "the server's queries are not as they should be");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Asserts that the server ends what was cancelled, which it does when it gets to it.
pub async fn assert_nothing_runs(admin: &Client) {
    let ended = wait_for_running(admin, |running| running == 0);
    let ended = tokio::time::timeout(Duration::from_secs(3), ended).await;
    ended.expect("a query that was cancelled runs on").expect("the server tells which queries run");
}
