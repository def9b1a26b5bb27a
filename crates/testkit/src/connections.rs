//! The function's connections in the current database, as PostgreSQL reports them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio_postgres::Client;

const TIMEOUT: Duration = Duration::from_secs(10);

const CONNECTIONS: &str =
    "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'list-chat-sessions'";

/// Terminates every connection; returns how many there were.
pub async fn end_connections(admin: &Client) -> Result<usize> {
    Ok(admin.query_typed(&format!("SELECT pg_terminate_backend(pid, 5000) {CONNECTIONS}"), &[]).await?.len())
}

/// Returns the process ids of the connections that match a condition in SQL.
pub async fn processes(admin: &Client, condition: &str) -> Result<Vec<i32>> {
    let rows = admin.query_typed(&format!("SELECT pid {CONNECTIONS} AND {condition}"), &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

pub async fn running(admin: &Client) -> Result<Vec<i32>> {
    processes(admin, "state = 'active'").await
}

/// Waits until the number of running queries is as wanted, and fails if it never is.
pub async fn wait_for_running(admin: &Client, wanted: fn(usize) -> bool) -> Result<()> {
    let begin = Instant::now();
    while !wanted(running(admin).await?.len()) {
        ensure!(begin.elapsed() < TIMEOUT, "the number of running queries is wrong");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Asserts that the server soon ends the queries that were cancelled.
pub async fn assert_nothing_runs(admin: &Client) {
    let ended = wait_for_running(admin, |running| running == 0);
    let ended = tokio::time::timeout(Duration::from_secs(3), ended).await;
    ended.expect("a cancelled query still runs").expect("the server lists the running queries");
}
