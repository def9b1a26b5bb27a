//! A thousand accounts share few connections, which are terminated, locked out and timed out.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use anyhow::Result;
use fastrand::Rng;
use futures_util::future::try_join_all;
use tokio::time::sleep;
use tokio_postgres::Client;

use super::{
    FaultReport, FunctionUnderTest, Harness, Reply, Setup,
    accounts::{self, RING_MAX},
    rate,
    under_test::event,
};
use crate::{Database, Server, end_connections};

const ACCOUNTS: u32 = 1_000;

const SESSIONS: usize = 3;

/// Number of functions: enough for their rings to hold the keys of all accounts.
const WORKERS: u32 = ACCOUNTS.div_ceil(RING_MAX);

/// Timeout of a query, and the longer time that a lock is held.
const QUERY_TIMEOUT: Duration = Duration::from_millis(60);
const LOCK: Duration = Duration::from_millis(100);

/// Pause between two locks, and between two terminations.
const PAUSE: Duration = Duration::from_millis(400);

/// Sends requests, to the same accounts in the same order for the same seed; a row of another account or a wrong
/// response counts as lost.
pub async fn run(harness: &Harness, requests: u64, seed: u64) -> Result<FaultReport> {
    let server = Server::start()?;
    let database = Database::create(&server).await?;
    accounts::fill(&database, ACCOUNTS, SESSIONS.try_into()?).await?;
    let [admin, other] = [database.client().await?, database.client().await?];
    let begin = Instant::now();
    let killed = Cell::new(0);
    let each = requests / u64::from(WORKERS);
    let workers = (0..WORKERS).map(|number| {
        let (first, last) = (number * ACCOUNTS / WORKERS + 1, (number + 1) * ACCOUNTS / WORKERS);
        worker(harness, database.clone(), first..=last, each, Rng::with_seed(seed.wrapping_add(number.into())))
    });
    let counted = tokio::select! {
        counted = try_join_all(workers) => counted?,
        Err(error) = disturb(&admin, &other, &killed) => return Err(error),
    };
    let mut report = FaultReport::new("tenants");
    let mut statuses = BTreeMap::<u16, u64>::new();
    for (part, counts) in &counted {
        report.add(part);
        for (status, count) in counts {
            *statuses.entry(*status).or_default() += count;
        }
    }
    let statuses: Vec<_> = statuses.iter().map(|(status, count)| format!("{count} × {status}")).collect();
    let (statuses, killed) = (statuses.join(", "), killed.get());
    let connections = WORKERS as usize * harness.concurrency;
    report.remark(&format!(
        "{ACCOUNTS} accounts on {connections} connections, which were killed {killed} times: {statuses}"
    ));
    report.remark(&format!("{} requests a second", rate(report.tried, begin)));
    Ok(report)
}

type Counts = BTreeMap<u16, u64>;

async fn worker(
    harness: &Harness,
    database: Database,
    of: RangeInclusive<u32>,
    requests: u64,
    mut random: Rng,
) -> Result<(FaultReport, Counts)> {
    let events: Vec<_> = of.clone().map(|account| (account, event(account))).collect();
    let variables = vec![("QUERY_TIMEOUT_MS", QUERY_TIMEOUT.as_millis().to_string())];
    let tested = FunctionUnderTest::start(
        harness,
        database,
        Setup { ring: Some(accounts::ring(of)?), variables, ..Setup::default() },
    )
    .await?;
    let total = RefCell::new((FaultReport::new("tenants"), Counts::new()));
    let (events, tested, left) = (&events, &tested, &Cell::new(requests));
    let senders = (0..harness.concurrency).map(|_| {
        let (mut random, total) = (random.fork(), &total);
        async move {
            while let Some(rest) = left.get().checked_sub(1) {
                left.set(rest);
                let (account, event) = &events[random.usize(..events.len())];
                let reply = tested.send(event.clone()).await?;
                let (report, statuses) = &mut *total.borrow_mut();
                *statuses.entry(reply.status).or_default() += 1;
                report.count(wrong(&reply, *account)?);
                harness.bar.inc(1);
            }
            anyhow::Ok(())
        }
    });
    try_join_all(senders).await?;
    Ok(total.into_inner())
}

/// Returns what is wrong with a reply to this account.
fn wrong(reply: &Reply, account: u32) -> Result<Option<String>> {
    if matches!(reply.status, 503 | 504) {
        return Ok(None);
    }
    let page = reply.json()?;
    let mark = accounts::mark(account);
    let own = |session: &serde_json::Value| session["id"].as_str().is_some_and(|id| id.starts_with(&mark));
    let sessions = page["sessions"].as_array();
    let is_right = reply.status == 200
        && sessions.is_some_and(|sessions| sessions.len() == SESSIONS && sessions.iter().all(own))
        && page["total"] == SESSIONS;
    Ok((!is_right).then(|| format!("account {account} gets {}: {}", reply.status, reply.text())))
}

/// Terminates connections and locks the table repeatedly.
async fn disturb(admin: &Client, other: &Client, killed: &Cell<usize>) -> Result<()> {
    let kill = async || {
        killed.set(killed.get() + end_connections(other).await?);
        anyhow::Ok(())
    };
    loop {
        kill().await?;
        sleep(PAUSE).await;
        admin.batch_execute("BEGIN; LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE").await?;
        sleep(LOCK / 2).await;
        // Some queries wait for the lock now.
        kill().await?;
        sleep(LOCK).await;
        admin.batch_execute("COMMIT").await?;
        sleep(PAUSE).await;
    }
}
