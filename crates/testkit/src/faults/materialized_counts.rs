//! Random writers alongside the materialized counts: the counts are installed and backfilled while they write, and must
//! equal the tables in every snapshot.

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

/// Number of writing connections.
const WRITERS: u64 = 6;

/// Accounts that they write to, and widgets of each.
const ACCOUNTS: u64 = 3;
const WIDGETS: u64 = 30;

/// Runs this many random transactions; every wrong materialized value counts as lost.
pub async fn run(bar: &ProgressBar, transactions: u64, seed: u64) -> Result<FaultReport> {
    // Such writers often deadlock; with the default, each deadlock would cost them a second.
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
    ensure!(rest == 0, "{rest} sessions are not backfilled");
    let left = "SELECT count(*)
                FROM (SELECT user_id FROM chat_session_counts UNION ALL SELECT user_id FROM chat_session_totals) counts
                WHERE NOT EXISTS (SELECT FROM users WHERE id = user_id)";
    let left: i64 = checker.query_typed_one(left, &[]).await?.get(0);
    ensure!(left == 0, "{left} rows of deleted accounts");
    let sessions = "SELECT count(*) FROM chat_sessions";
    let sessions: i64 = checker.query_typed_one(sessions, &[]).await?.get(0);
    report.remark(&format!(
        "{transactions} transactions, {retried} of them aborted by conflicts; {sessions} sessions left"
    ));
    Ok(report)
}

/// Installs the counts after a fifth of the work, and backfills them in small batches.
async fn install(client: &Client, done: &AtomicU64, transactions: u64) -> Result<()> {
    while done.load(Ordering::Relaxed) < transactions / 5 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    migrations::run_materialized_counts(client, migrations::MATERIALIZED_COUNTS[0]).await?;
    migrations::run_materialized_counts(client, migrations::MATERIALIZED_COUNTS[1]).await?;
    client.batch_execute("VACUUM (ANALYZE) chat_sessions").await?;
    migrations::run_materialized_counts(client, migrations::MATERIALIZED_COUNTS[2]).await.context("the backfill")
}
