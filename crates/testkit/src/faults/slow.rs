//! The query takes too long, by itself or because of a lock.

use std::time::Duration;

use anyhow::Result;
use tokio_postgres::Client;

use super::{FaultReport, FunctionUnderTest, Harness, Setup, accounts, unexpected};
use crate::{Database, Server, wait_for_running};

/// Timeout of the query.
const QUERY_TIMEOUT: Duration = Duration::from_millis(200);

/// Timeout of the next response: much less than the slow query takes, and more than a new connection takes on a machine whose
/// disk is busy (1.2 s were seen).
const NEXT_TIMEOUT: Duration = Duration::from_secs(5);

/// A table that takes a minute to read, and the statements that restore it.
const SLOW_VIEW: [&str; 2] = [
    "ALTER TABLE chat_messages RENAME TO chat_messages_fast;
     CREATE VIEW chat_messages AS
       SELECT m.* FROM chat_messages_fast m, LATERAL (SELECT pg_sleep(60), m.id) slow WHERE slow.id = m.id;
     GRANT SELECT ON chat_messages TO list_chat_sessions",
    "DROP VIEW chat_messages; ALTER TABLE chat_messages_fast RENAME TO chat_messages",
];
const LOCK: [&str; 2] = ["BEGIN; LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE", "COMMIT"];

/// Sends requests while the query is slow: each gets 504, its query is cancelled, and the next request succeeds
/// immediately.
pub async fn run(harness: &Harness, count: u64) -> Result<Vec<FaultReport>> {
    let server = Server::start()?;
    let database = Database::create(&server).await?;
    accounts::fill(&database, 1, 10).await?;
    let variables = vec![("QUERY_TIMEOUT_MS", QUERY_TIMEOUT.as_millis().to_string())];
    let tested = FunctionUnderTest::start(harness, database, Setup { variables, ..Setup::default() }).await?;
    let [admin, other] = [tested.database.client().await?, tested.database.client().await?];
    let mut reports = Vec::new();
    for (name, [begin, end]) in [("slow query: `pg_sleep` in a view", SLOW_VIEW), ("slow query: table locked", LOCK)] {
        let mut report = FaultReport::new(name);
        for _ in 0..count {
            admin.batch_execute(begin).await?;
            let wrong = attempt(&tested, &other).await?;
            admin.batch_execute(end).await?;
            let next = tested.request_page().await?;
            let late = (next.after > NEXT_TIMEOUT).then(|| format!("the next response after {:?}", next.after));
            report.count(wrong.or_else(|| unexpected(&next, &[200])).or(late));
            harness.bar.inc(1);
        }
        reports.push(report);
    }
    Ok(reports)
}

async fn attempt(tested: &FunctionUnderTest, other: &Client) -> Result<Option<String>> {
    let reply = tested.request_page().await?;
    let left = wait_for_running(other, |running| running == 0).await.is_err();
    Ok(unexpected(&reply, &[504]).or_else(|| left.then(|| "the query still runs".to_owned())))
}
