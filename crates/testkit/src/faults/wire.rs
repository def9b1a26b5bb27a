//! Responses of Secrets Manager that are slow, truncated or endless.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};

use super::{FaultReport, FunctionUnderTest, Harness, Setup, accounts, sum, under_test::KEYS, unexpected};
use crate::{Database, Secrets, Server, WireFault, process};

/// Timeout of an invocation, and of its response, which is due 300 ms earlier.
const INVOCATION: Duration = Duration::from_secs(3);
const LATEST: Duration = Duration::from_millis(2_700);

/// Longest duration of a request whose refresh gets no response: the timeout of the refresh, and a margin.
const LATEST_REFRESH: Duration = Duration::from_millis(1_300);

/// Timeout for a refresh: the maximum age of one second, and earlier faults.
const PATIENCE: Duration = Duration::from_secs(15);

/// Growth of memory during a response, in KiB. An endless one brings hundreds of megabytes per second.
const GROWTH_MAX: u64 = 16 * 1_024;

/// Number of kinds of trials: every fault, with and without a cached key ring.
pub const KINDS: u64 = 2 * WireFault::ALL.len() as u64;

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

/// Refreshes the key ring during the fault: every request uses the cached one, within the timeout of the refresh.
async fn refresh(harness: &Harness, server: &Server, fault: WireFault) -> Result<Option<String>> {
    let tested = tested(harness, server, Secrets::start().await?).await?;
    let before = memory(&tested)?;
    let calls = tested.secrets.calls(KEYS);
    tested.secrets.disturb(fault);
    let (begin, mut rest, mut wrong) = (Instant::now(), 3, None);
    while rest > 0 {
        let reply = tested.request_page().await?;
        let late = (reply.after > LATEST_REFRESH).then(|| format!("a response after {:?}", reply.after));
        wrong = wrong.or_else(|| unexpected(&reply, &[200])).or(late);
        rest -= u32::from(tested.secrets.calls(KEYS) > calls);
        ensure!(begin.elapsed() < PATIENCE, "the key ring is not refreshed");
        sleep(Duration::from_millis(5)).await;
    }
    wrong = wrong.or(grown(&tested, before)?);
    tested.secrets.disturb(None);
    let after = tested.request_page().await?;
    Ok(wrong.or_else(|| unexpected(&after, &[200]).map(|wrong| format!("after the fault {wrong}"))))
}

/// Starts the environment during the fault: requests get 503 in time or succeed, and the first request after the fault
/// succeeds.
async fn start(harness: &Harness, server: &Server, fault: WireFault) -> Result<Option<String>> {
    let secrets = Secrets::start().await?;
    secrets.disturb(fault);
    let tested = tested(harness, server, secrets).await?;
    let before = memory(&tested)?;
    let reply = tested.request_page().await?;
    let late = (reply.after > LATEST).then(|| format!("a response after {:?}", reply.after));
    // A slow response that arrives within the timeout is used.
    let expected: &[u16] = if fault == WireFault::Bytewise { &[200] } else { &[200, 503] };
    let wrong = unexpected(&reply, expected).or(late).or(grown(&tested, before)?);
    tested.secrets.disturb(None);
    let after = tested.request_page().await?;
    Ok(wrong.or_else(|| unexpected(&after, &[200]).map(|wrong| format!("after the fault {wrong}"))))
}

/// Returns the peak memory of the process in KiB; 0 without `/proc`.
fn memory(tested: &FunctionUnderTest) -> Result<u64> {
    if cfg!(target_os = "linux") { process::peak(tested.function.pid().context("it runs")?) } else { Ok(0) }
}

fn grown(tested: &FunctionUnderTest, before: u64) -> Result<Option<String>> {
    let growth = memory(tested)?.saturating_sub(before);
    Ok((growth > GROWTH_MAX).then(|| format!("{growth} KiB more memory")))
}
