//! One environment serves many requests; its memory and open files must not grow.

use std::{fs, time::Instant};

use anyhow::{Context, Result};

use super::{FaultReport, FunctionUnderTest, Harness, Setup, accounts, rate, under_test::event, unexpected};
use crate::{Database, Server, process, request};

/// Samples of memory and open files.
const SAMPLES: u64 = 50;

/// First samples, which are not counted: caches fill.
const WARM_UP: usize = 5;

/// Growth of memory after the warm-up that still counts as flat, in KiB.
const FLAT: u64 = 2_048;

/// Sends this many invocations: pages, filters, errors, preflights.
pub async fn run(harness: &Harness, invocations: u64) -> Result<FaultReport> {
    let server = Server::start()?;
    let database = Database::create(&server).await?;
    accounts::fill(&database, 1, 20).await?;
    let tested = FunctionUnderTest::start(harness, database, Setup::default()).await?;
    let pid = tested.function.pid().context("it runs")?;
    let token = accounts::token(1);
    let mix = [
        (event(1), 200),
        (request::post(&token, r#"{"limit": 5, "status": "active", "from_date": "2024-01-01"}"#).to_string(), 200),
        (request::post(&token, r#"{"limit": 0, "offset": -1}"#).to_string(), 400),
        (event(1), 200),
        (request::post("mgp_unknown", "{}").to_string(), 401),
        (request::request("OPTIONS", &[], b"").to_string(), 200),
    ];
    let mut report = FaultReport::new("endurance");
    let mut samples = Vec::new();
    let begin = Instant::now();
    for (number, (event, status)) in (0..invocations).zip(mix.iter().cycle()) {
        report.count(unexpected(&tested.send(event.clone()).await?, &[*status]));
        if number % (invocations / SAMPLES).max(1) == 0 {
            samples.push((process::resident(pid)?, files(pid)?));
        }
        harness.bar.inc(1);
    }
    samples.push((process::resident(pid)?, files(pid)?));
    let settled = &samples[WARM_UP.min(samples.len() - 1)..];
    let [(first, few), (last, _)] = [settled[0], settled[settled.len() - 1]];
    let many = settled.iter().map(|(_, files)| *files).max().unwrap_or_default();
    let most = settled.iter().map(|(memory, _)| *memory).max().unwrap_or_default();
    report.remark(&format!("resident {first} KiB after the first tenth, {last} KiB at the end, {most} KiB at most"));
    report.remark(&format!("open files {few}, {many} at most; {} a second", rate(report.tried, begin)));
    if most > first + FLAT || many > few || tested.function.pid() != Some(pid) {
        report.lost += 1;
        report.remark("not flat, or another process");
    }
    Ok(report)
}

fn files(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}
