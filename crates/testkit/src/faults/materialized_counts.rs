//! Random writers alongside the materialized counts: the set is installed and filled in under them, and in every
//! snapshot what is kept is what the tables say.

mod check;
mod writer;

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::FaultReport;
use crate::{Database, Server, ServerOptions, migrations};

use writer::Writer;

/// Connections that write.
const WRITERS: u64 = 6;

/// The accounts that they write to, and the widgets of each.
const ACCOUNTS: u64 = 3;
const WIDGETS: u64 = 30;

/// Lets so many random transactions run; a kept value that is not true is what can be lost.
pub async fn run(bar: &ProgressBar, transactions: u64, seed: u64) -> Result<FaultReport> {
    // A deadlock is what writers like these have often; each would cost them a second.
    let settings = vec!["deadlock_timeout=20ms".to_owned()];
    let server = Server::start_with(ServerOptions { settings, ..ServerOptions::default() })?;
    let database = Database::create(&server).await?;
    database.load(writer::ROWS).await?;
    let done = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let writer = Writer::connect(&database, seed.wrapping_add(number)).await?;
        writers.spawn(writer.work(transactions.div_ceil(WRITERS), Arc::clone(&done)));
    }
    let mut report = FaultReport::new("materialized counts: random writers");
    let (installer, checker) = (database.client().await?, database.client().await?);
    let is_done = Cell::new(false);
    let work = async {
        let mut retried = 0;
        while let Some(writer) = writers.join_next().await {
            retried += writer??;
        }
        is_done.set(true);
        anyhow::Ok(retried)
    };
    let watch = async {
        while !is_done.get() {
            bar.set_position(done.load(Ordering::Relaxed));
            report.count(check::in_one_snapshot(&checker, false).await?);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    let (retried, (), ()) = tokio::try_join!(work, install(&installer, &done, transactions), watch)?;
    report.count(check::in_one_snapshot(&checker, true).await?);
    let rest = "SELECT count(*) FROM chat_sessions WHERE message_count IS NULL";
    let rest: i64 = checker.query_typed_one(rest, &[]).await?.get(0);
    ensure!(rest == 0, "{rest} sessions are not kept");
    let left = "SELECT count(*) FROM (SELECT user_id FROM chat_session_counts UNION ALL SELECT user_id FROM chat_session_totals) kept
                WHERE NOT EXISTS (SELECT FROM users WHERE id = user_id)";
    let left: i64 = checker.query_typed_one(left, &[]).await?.get(0);
    ensure!(left == 0, "{left} rows of accounts that are gone");
    let sessions = "SELECT count(*) FROM chat_sessions";
    let sessions: i64 = checker.query_typed_one(sessions, &[]).await?.get(0);
    report.remark(&format!(
        "{transactions} transactions, {retried} of them aborted for others' sake; {sessions} sessions left"
    ));
    Ok(report)
}

/// Installs the set when a fifth of the work is done, and fills it in with small batches.
async fn install(client: &Client, done: &AtomicU64, transactions: u64) -> Result<()> {
    while done.load(Ordering::Relaxed) < transactions / 5 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    migrations::run_materialized_counts(client, migrations::MATERIALIZED_COUNTS[0]).await?;
    migrations::run_materialized_counts(client, migrations::MATERIALIZED_COUNTS[1]).await?;
    let calls = "VACUUM (ANALYZE) chat_sessions";
    client.batch_execute(calls).await?;
    migrations::run_materialized_counts(client, migrations::MATERIALIZED_COUNTS[2]).await.context("the backfill")
}
