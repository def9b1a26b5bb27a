//! One environment serves for long: its memory and its open files stay what they are.

use std::{fs, time::Instant};

use anyhow::{Context, Result};

use super::{Lab, Setup, Subject, Tally, accounts, rate, subject::event, unless};
use crate::support::{database::Database, measure::process, postgres::Server, request};

/// How often memory and files are looked at.
const SAMPLES: u64 = 50;

/// Of the samples, those that are not counted: caches fill first.
const WARM_UP: usize = 5;

/// How much more memory at the end than after the warm-up still counts as flat, in KiB.
const FLAT: u64 = 2_048;

/// Runs so many invocations: pages, filters, refusals, preflights.
///
/// # Errors
///
/// What prevents the trial. A wrong answer is counted as lost, and so is memory or a file that is not given back.
pub async fn run(lab: &Lab, invocations: u64) -> Result<Tally> {
    let server = Server::start()?;
    let database = Database::create(&server).await?;
    accounts::fill(&database, 1, 20).await?;
    let subject = Subject::start(lab, database, Setup::default()).await?;
    let pid = subject.function.pid().context("it runs")?;
    let token = accounts::token(1);
    let mix = [
        (event(1), 200),
        (request::post(&token, r#"{"limit": 5, "status": "active", "from_date": "2024-01-01"}"#).to_string(), 200),
        (request::post(&token, r#"{"limit": 0, "offset": -1}"#).to_string(), 400),
        (event(1), 200),
        (request::post("mgp_unknown", "{}").to_string(), 401),
        (request::request("OPTIONS", &[], b"").to_string(), 200),
    ];
    let mut tally = Tally::new("endurance");
    let mut samples = Vec::new();
    let begin = Instant::now();
    for (number, (event, status)) in (0..invocations).zip(mix.iter().cycle()) {
        tally.count(unless(&subject.send(event.clone()).await?, &[*status]));
        if number % (invocations / SAMPLES).max(1) == 0 {
            samples.push((process::resident(pid)?, files(pid)?));
        }
        lab.bar.inc(1);
    }
    samples.push((process::resident(pid)?, files(pid)?));
    let settled = &samples[WARM_UP.min(samples.len() - 1)..];
    let [(first, few), (last, _)] = [settled[0], settled[settled.len() - 1]];
    let many = settled.iter().map(|(_, files)| *files).max().unwrap_or_default();
    let most = settled.iter().map(|(memory, _)| *memory).max().unwrap_or_default();
    tally.remark(&format!("resident {first} KiB after the first tenth, {last} KiB at the end, {most} KiB at most"));
    tally.remark(&format!("open files {few}, {many} at most; {} a second", rate(tally.tried, begin)));
    if most > first + FLAT || many > few || subject.function.pid() != Some(pid) {
        tally.lost += 1;
        tally.remark("not flat, or another process");
    }
    Ok(tally)
}

fn files(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}
