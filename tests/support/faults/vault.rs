//! Secrets Manager fails, and the key ring is rotated, while requests run.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;

use super::{
    Lab, Setup, Subject, Tally, accounts,
    subject::{KEYS, event},
    unless,
};
use crate::support::{
    database::Database,
    keys::{self, Entry, Ring},
    postgres::Server,
    request,
    secrets::Fault,
};

/// How long a refresh may take to be made: the maximum age, which is a second here, and what a fault adds to it.
const PATIENCE: Duration = Duration::from_secs(15);

/// How many functions wait for their secrets to age side by side.
const LANES: u64 = 10;

/// What is put in the place of a good ring.
const BAD: [&str; 4] = ["empty", "huge", "not JSON", "of another form"];

/// The kinds of fault, of which each trial is one.
pub const KINDS: u64 = (Fault::ALL.len() + BAD.len() + 1) as u64;

/// The first account, and a second token of it.
const OWNER: &str = "00000000-0000-4000-8000-000000000001";
const NEW_TOKEN: &str = "mgp_000000000000000000000000000000000000beef";

/// Tries every fault, and a rotation, so many times. What is counted are requests.
///
/// # Errors
///
/// What prevents the trials. What the function does wrong is counted.
pub async fn run(lab: &Lab, count: u64) -> Result<Vec<Tally>> {
    let server = Server::start()?;
    let server = &server;
    let tallies = || ["Secrets Manager fails", "the secret is bad", "keys rotated with an overlap"].map(Tally::new);
    let lanes = LANES.min(KINDS);
    let counted = try_join_all((0..lanes).map(|lane| async move {
        let mut counted = tallies();
        for trial in (0..count * KINDS).filter(|trial| trial % lanes == lane) {
            let [failing, bad, rotated] = &mut counted;
            let subject = start(lab, server).await?;
            match usize::try_from(trial % KINDS)? {
                kind if kind < Fault::ALL.len() => {
                    let cause = |subject: &Subject| subject.secrets.fail(Fault::ALL[kind]);
                    attempt(&subject, failing, &format!("{:?}", Fault::ALL[kind]), cause).await?;
                }
                kind if kind < Fault::ALL.len() + BAD.len() => {
                    let name = BAD[kind - Fault::ALL.len()];
                    let cause = |subject: &Subject| drop(subject.secrets.put(KEYS, text(name)));
                    attempt(&subject, bad, name, cause).await?;
                }
                _ => rotate(&subject, rotated).await?,
            }
            lab.bar.inc(1);
        }
        anyhow::Ok(counted)
    }))
    .await?;
    let mut sums = tallies();
    for counted in &counted {
        sums.iter_mut().zip(counted).for_each(|(sum, tally)| sum.add(tally));
    }
    sums[0].remark("requests with a warm ring; throttled, 5xx, silent, denied, not found, deleted, garbage");
    sums[1].remark("requests with a warm ring; empty, 70 kB, not JSON, of another form");
    sums[2].remark("requests while the ring changes under a fetch that is on its way");
    Ok(sums.into())
}

/// A bad secret's value.
fn text(name: &str) -> String {
    match name {
        "empty" => String::new(),
        "huge" => format!("{{\"api_keys\": [], \"x\": \"{}\"}}", "x".repeat(70_000)),
        "not JSON" => "{".to_owned(),
        _ => "{\"api_keys\": {}}".to_owned(),
    }
}

async fn start(lab: &Lab, server: &Server) -> Result<Subject> {
    let database = Database::create(server).await?;
    accounts::fill(&database, 1, 3).await?;
    let variables = vec![("SECRET_MAX_AGE_SECONDS", "1".to_owned())];
    Subject::start(lab, database, Setup { variables, ..Setup::default() }).await
}

/// Asks until the function has tried to refresh its ring under the fault, and a little more.
async fn attempt(subject: &Subject, tally: &mut Tally, name: &str, cause: impl Fn(&Subject)) -> Result<()> {
    let before = subject.secrets.calls(KEYS);
    cause(subject);
    let mut rest = 10;
    let begin = Instant::now();
    while rest > 0 {
        let reply = subject.ask().await?;
        tally.count(unless(&reply, &[200]).map(|wrong| format!("{name}: {wrong}")));
        rest -= u32::from(subject.secrets.calls(KEYS) > before);
        ensure!(begin.elapsed() < PATIENCE, "the ring is not refreshed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Replaces the key by way of a ring that has both. Whoever has a valid one never hears that it is not.
async fn rotate(subject: &Subject, tally: &mut Tally) -> Result<()> {
    let [old, new] = [event(1), request::post(NEW_TOKEN, "{}").to_string()];
    let ring = |tokens: &[&str]| {
        keys::json(&Ring { api_keys: tokens.iter().map(|token| Entry::new(token, OWNER, "test")).collect() })
    };
    put_in_mid_fetch(subject, ring(&[&accounts::token(1), NEW_TOKEN])?, &old, tally).await?;
    for event in [&new, &old].repeat(20) {
        tally.count(unless(&subject.send(event.clone()).await?, &[200]));
    }
    put_in_mid_fetch(subject, ring(&[NEW_TOKEN])?, &new, tally).await?;
    tally.count(unless(&subject.send(new).await?, &[200]));
    let revoked = unless(&subject.send(old).await?, &[401]);
    tally.count(revoked.map(|wrong| format!("a key that is no longer there: {wrong}")));
    Ok(())
}

/// Changes the ring while a fetch of it is on its way, and sends an event that is valid before and after, again and again.
async fn put_in_mid_fetch(subject: &Subject, ring: String, event: &str, tally: &mut Tally) -> Result<()> {
    subject.secrets.delay(Duration::from_millis(50));
    let (before, begin, done) = (subject.secrets.calls(KEYS), Instant::now(), Cell::new(false));
    let put = async {
        while subject.secrets.calls(KEYS) == before {
            ensure!(begin.elapsed() < PATIENCE, "the ring is not refreshed");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        subject.secrets.put(KEYS, ring)?;
        done.set(true);
        Ok(())
    };
    let load = async {
        while !done.get() {
            tally.count(unless(&subject.send(event.to_owned()).await?, &[200]));
        }
        anyhow::Ok(())
    };
    tokio::try_join!(put, load)?;
    Ok(())
}
