//! Responses of Secrets Manager that arrive slowly, in part, or without an end.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};

use super::{FaultReport, FunctionUnderTest, Harness, Setup, accounts, sum, under_test::KEYS, unless};
use crate::{Database, Secrets, Server, WireFault, process};

/// An invocation, and when every response has to be there: 300 ms before its end.
const INVOCATION: Duration = Duration::from_secs(3);
const LATEST: Duration = Duration::from_millis(2_700);

/// The most that a request may take whose refresh gets nothing: the refresh's own time-out, and a little for the rest.
const LATEST_REFRESH: Duration = Duration::from_millis(1_300);

/// How long a refresh may take to be made: the maximum age, which is a second here, and the faults that came before.
const PATIENCE: Duration = Duration::from_secs(15);

/// How much more memory a response may take than the function had before it, in KiB. An endless one brings hundreds of
/// megabytes a second.
const GROWTH_MAX: u64 = 16 * 1_024;

/// The kinds of trial: every fault on an environment that has a key ring and on one that has none.
pub const KINDS: u64 = 2 * WireFault::ALL.len() as u64;

/// Tries every fault so many times.
pub async fn run(harness: &Harness, count: u64) -> Result<Vec<FaultReport>> {
    let server = Server::start()?;
    let server = &server;
    let names = ["response of Secrets Manager disturbed, key ring warm", "the same, no key ring yet"];
    let workers = WireFault::ALL.into_iter().map(|fault| async move {
        let mut reports = names.map(FaultReport::new);
        for _ in 0..count {
            for (report, is_warm) in reports.iter_mut().zip([true, false]) {
                let wrong =
                    if is_warm { refresh(harness, server, fault).await } else { start(harness, server, fault).await };
                let wrong = wrong.with_context(|| format!("{fault:?}, warm: {is_warm}"))?;
                report.count(wrong.map(|wrong| format!("{fault:?}: {wrong}")));
                harness.bar.inc(1);
            }
        }
        anyhow::Ok(reports)
    });
    let mut sums = sum(try_join_all(workers).await?);
    for sum in &mut sums {
        sum.remark("byte by byte, a byte a second, 1 kB/s, reset or cut in the middle, endless headers, endless body");
    }
    Ok(sums.into())
}

async fn tested(harness: &Harness, server: &Server, secrets: Secrets) -> Result<FunctionUnderTest> {
    let database = Database::create(server).await?;
    accounts::fill(&database, 1, 3).await?;
    let variables = vec![("SECRET_MAX_AGE_SECONDS", "1".to_owned())];
    let setup = Setup { variables, secrets: Some(secrets), timeout: INVOCATION, ..Setup::default() };
    FunctionUnderTest::start(harness, database, setup).await
}

/// The key ring is refreshed under the fault: every request is served with the last good one, in the refresh's own time.
async fn refresh(harness: &Harness, server: &Server, fault: WireFault) -> Result<Option<String>> {
    let tested = tested(harness, server, Secrets::start().await?).await?;
    let before = memory(&tested)?;
    let calls = tested.secrets.calls(KEYS);
    tested.secrets.disturb(fault);
    let (begin, mut rest, mut wrong) = (Instant::now(), 3, None);
    while rest > 0 {
        let reply = tested.ask().await?;
        let late = (reply.after > LATEST_REFRESH).then(|| format!("an answer after {:?}", reply.after));
        wrong = wrong.or_else(|| unless(&reply, &[200])).or(late);
        rest -= u32::from(tested.secrets.calls(KEYS) > calls);
        ensure!(begin.elapsed() < PATIENCE, "the key ring is not refreshed");
        sleep(Duration::from_millis(5)).await;
    }
    wrong = wrong.or(grown(&tested, before)?);
    tested.secrets.disturb(None);
    let after = tested.ask().await?;
    Ok(wrong.or_else(|| unless(&after, &[200]).map(|wrong| format!("after the fault {wrong}"))))
}

/// The environment starts under the fault: init ends, requests get 503 in time or are served, and the first request after
/// the fault is served.
async fn start(harness: &Harness, server: &Server, fault: WireFault) -> Result<Option<String>> {
    let secrets = Secrets::start().await?;
    secrets.disturb(fault);
    let tested = tested(harness, server, secrets).await?;
    let before = memory(&tested)?;
    let reply = tested.ask().await?;
    let late = (reply.after > LATEST).then(|| format!("an answer after {:?}", reply.after));
    // Slow is not lost: what arrives within the time-out is used.
    let expected: &[u16] = if fault == WireFault::Bytewise { &[200] } else { &[200, 503] };
    let wrong = unless(&reply, expected).or(late).or(grown(&tested, before)?);
    tested.secrets.disturb(None);
    let after = tested.ask().await?;
    Ok(wrong.or_else(|| unless(&after, &[200]).map(|wrong| format!("after the fault {wrong}"))))
}

/// The most memory that the process has had, in KiB; 0 where there is no `/proc` to read it from.
fn memory(tested: &FunctionUnderTest) -> Result<u64> {
    if cfg!(target_os = "linux") { process::peak(tested.function.pid().context("it runs")?) } else { Ok(0) }
}

fn grown(tested: &FunctionUnderTest, before: u64) -> Result<Option<String>> {
    let growth = memory(tested)?.saturating_sub(before);
    Ok((growth > GROWTH_MAX).then(|| format!("{growth} KiB more memory")))
}
