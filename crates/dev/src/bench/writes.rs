//! Measures the cost of the materialized counts for writers: pgbench alternates between two small databases, with and
//! without them.

use std::{path::Path, process::Stdio};

use anyhow::{Context, Result, bail};
use testkit::{database, repository};
use tokio::process::Command;

use super::{
    Part,
    candidate::Candidate,
    context::BenchContext,
    data::{self, Sizes},
    peers,
};
use crate::measure::{
    sample::Sample,
    table::{Cell, Row},
};

pub const CASES: [(&str, &str); 2] = [("session inserts", "sessions"), ("message inserts", "messages")];

const CLIENTS: &str = "8";
/// Turns of each database, and the seconds of one turn.
const TURNS: u32 = 6;
const SECONDS: u32 = 10;

/// Small, because a write costs the same in a larger table; the busiest account has as many sessions as
/// crates/dev/bench/writes/messages.sql assumes.
const SIZES: Sizes = Sizes { middle: 1_000, large: 10_000 };

const PLAIN: &str = "writes";
const MATERIALIZED: &str = "writes_materialized";

pub async fn run(bench: &BenchContext) -> Result<Vec<Row>> {
    let mut rows = CASES.map(|(case, _)| Row::new(Part::Writes.title(), case, "/s"));
    let server = &bench.services.server;
    let pgbench = match peers::find("pgbench") {
        Ok(pgbench) => pgbench,
        Err(error) => {
            for row in &mut rows {
                row.failed.insert(Candidate::Ours.name(), format!("{error:#}"));
            }
            return Ok(rows.into());
        }
    };
    let admin = database::connect(&server.url("postgres")).await?;
    // Removes the rows that the last run wrote.
    for name in [PLAIN, MATERIALIZED] {
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} (FORCE)")).await?;
    }
    data::load(server, PLAIN, SIZES).await?;
    data::load_materialized(server, PLAIN, MATERIALIZED, SIZES).await?;
    let databases = [(Candidate::Ours, PLAIN), (Candidate::Materialized, MATERIALIZED)];
    let turns = bench.times(TURNS).max(2);
    let seconds = bench.times(SECONDS).max(1);
    bench.bar.set_length(u64::from(turns) * databases.len() as u64 * CASES.len() as u64);
    for (row, (_, script)) in rows.iter_mut().zip(CASES) {
        let mut rates: Vec<Vec<f64>> = databases.iter().map(|_| Vec::new()).collect();
        for turn in 0..turns as usize {
            for place in 0..databases.len() {
                let place = (place + turn) % databases.len();
                rates[place].push(rate(&pgbench, server.port(), databases[place].1, script, seconds).await?);
                bench.bar.inc(1);
            }
        }
        for ((candidate, _), rates) in databases.iter().zip(rates) {
            row.cells.extend(Cell::of(&Sample::of(rates), None).map(|cell| (candidate.name(), cell)));
        }
    }
    for name in [PLAIN, MATERIALIZED] {
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} (FORCE)")).await?;
    }
    // Saves the next start from replaying the WAL.
    admin.batch_execute("CHECKPOINT").await?;
    Ok(rows.into())
}

/// Runs pgbench and returns its transactions per second.
async fn rate(pgbench: &Path, port: u16, name: &str, script: &str, seconds: u32) -> Result<f64> {
    let script = format!("{}/crates/dev/bench/writes/{script}.sql", repository().display());
    let mut command = Command::new(pgbench);
    command.args(["--no-vacuum", "--protocol=extended", "--client", CLIENTS, "--jobs=2", "--username=postgres"]);
    command.args(["--time", &seconds.to_string(), "--host=127.0.0.1", "--port", &port.to_string()]);
    command.args(["--file", &script, name]).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.context("pgbench cannot be started")?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let Some(line) = stdout.lines().find_map(|line| line.strip_prefix("tps = ")).filter(|_| output.status.success())
    else {
        bail!(
            "pgbench: {}",
            String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("no message on standard error")
        );
    };
    Ok(line.split(' ').next().unwrap_or_default().parse()?)
}
