//! Secrets Manager fails, and keys are rotated, while requests run.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;

use super::{
    FaultReport, FunctionUnderTest, Harness, Setup, accounts, sum,
    under_test::{KEYS, event},
    unexpected,
};
use crate::{
    Database, SecretsFault, Server,
    keys::{self, Entry, Ring},
    request,
};

/// Timeout for a refresh: the maximum age of one second, and the delay of a fault.
const PATIENCE: Duration = Duration::from_secs(15);

/// Functions that wait concurrently for their secrets to expire.
const WORKERS: u64 = 10;

const BAD: [&str; 4] = ["empty", "huge", "not JSON", "of another form"];

/// Number of kinds of faults, of which each trial injects one.
pub const KINDS: u64 = (SecretsFault::ALL.len() + BAD.len() + 1) as u64;

/// The first account, and a second token for it.
const OWNER: &str = "00000000-0000-4000-8000-000000000001";
const NEW_TOKEN: &str = "mgp_000000000000000000000000000000000000beef";

/// Injects every fault, and rotates the keys, `count` times. Counts requests.
pub async fn run(harness: &Harness, count: u64) -> Result<Vec<FaultReport>> {
    let server = Server::start()?;
    let server = &server;
    let reports =
        || ["Secrets Manager fails", "the secret is bad", "keys rotated with an overlap"].map(FaultReport::new);
    let workers = WORKERS.min(KINDS);
    let counted = try_join_all((0..workers).map(|worker| async move {
        let mut counted = reports();
        for trial in (0..count * KINDS).filter(|trial| trial % workers == worker) {
            let [failing, bad, rotated] = &mut counted;
            let tested = start(harness, server).await?;
            match usize::try_from(trial % KINDS)? {
                kind if kind < SecretsFault::ALL.len() => {
                    let cause = |tested: &FunctionUnderTest| tested.secrets.fail(SecretsFault::ALL[kind]);
                    attempt(&tested, failing, &format!("{:?}", SecretsFault::ALL[kind]), cause).await?;
                }
                kind if kind < SecretsFault::ALL.len() + BAD.len() => {
                    let name = BAD[kind - SecretsFault::ALL.len()];
                    let cause = |tested: &FunctionUnderTest| drop(tested.secrets.put(KEYS, text(name)));
                    attempt(&tested, bad, name, cause).await?;
                }
                _ => rotate(&tested, rotated).await?,
            }
            harness.bar.inc(1);
        }
        anyhow::Ok(counted)
    }))
    .await?;
    let mut sums = sum(counted);
    sums[0].remark("requests with a warm ring; throttled, 5xx, silent, denied, not found, deleted, garbage");
    sums[1].remark("requests with a warm ring; empty, 70 kB, not JSON, of another form");
    sums[2].remark("requests while the ring changes under a fetch that is on its way");
    Ok(sums.into())
}

fn text(name: &str) -> String {
    match name {
        "empty" => String::new(),
        "huge" => format!("{{\"api_keys\": [], \"x\": \"{}\"}}", "x".repeat(70_000)),
        "not JSON" => "{".to_owned(),
        _ => "{\"api_keys\": {}}".to_owned(),
    }
}

async fn start(harness: &Harness, server: &Server) -> Result<FunctionUnderTest> {
    let database = Database::create(server).await?;
    accounts::fill(&database, 1, 3).await?;
    let variables = vec![("SECRET_MAX_AGE_SECONDS", "1".to_owned())];
    FunctionUnderTest::start(harness, database, Setup { variables, ..Setup::default() }).await
}

/// Sends requests until the function has tried to refresh its ring during the fault, and a few more.
async fn attempt(
    tested: &FunctionUnderTest,
    report: &mut FaultReport,
    name: &str,
    cause: impl Fn(&FunctionUnderTest),
) -> Result<()> {
    let before = tested.secrets.calls(KEYS);
    cause(tested);
    let mut rest = 10;
    let begin = Instant::now();
    while rest > 0 {
        let reply = tested.request_page().await?;
        report.count(unexpected(&reply, &[200]).map(|wrong| format!("{name}: {wrong}")));
        rest -= u32::from(tested.secrets.calls(KEYS) > before);
        ensure!(begin.elapsed() < PATIENCE, "the ring is not refreshed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Replaces the key through a ring with both keys. No valid key may be rejected.
async fn rotate(tested: &FunctionUnderTest, report: &mut FaultReport) -> Result<()> {
    let [old, new] = [event(1), request::post(NEW_TOKEN, "{}").to_string()];
    let ring = |tokens: &[&str]| {
        keys::json(&Ring { api_keys: tokens.iter().map(|token| Entry::new(token, OWNER, "test")).collect() })
    };
    put_in_mid_fetch(tested, ring(&[&accounts::token(1), NEW_TOKEN])?, &old, report).await?;
    for event in [&new, &old].repeat(20) {
        report.count(unexpected(&tested.send(event.clone()).await?, &[200]));
    }
    put_in_mid_fetch(tested, ring(&[NEW_TOKEN])?, &new, report).await?;
    report.count(unexpected(&tested.send(new).await?, &[200]));
    let revoked = unexpected(&tested.send(old).await?, &[401]);
    report.count(revoked.map(|wrong| format!("a key that is no longer there: {wrong}")));
    Ok(())
}

/// Changes the ring during a fetch while sending an event that is valid before and after.
async fn put_in_mid_fetch(
    tested: &FunctionUnderTest,
    ring: String,
    event: &str,
    report: &mut FaultReport,
) -> Result<()> {
    tested.secrets.delay(Duration::from_millis(50));
    let (before, begin, done) = (tested.secrets.calls(KEYS), Instant::now(), Cell::new(false));
    let put = async {
        while tested.secrets.calls(KEYS) == before {
            ensure!(begin.elapsed() < PATIENCE, "the ring is not refreshed");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tested.secrets.put(KEYS, ring)?;
        done.set(true);
        Ok(())
    };
    let load = async {
        while !done.get() {
            report.count(unexpected(&tested.send(event.to_owned()).await?, &[200]));
        }
        anyhow::Ok(())
    };
    tokio::try_join!(put, load)?;
    Ok(())
}
