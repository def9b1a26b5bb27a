//! What the kept counts cost those who write: pgbench on two small databases, with and without them, in turns.

use std::{path::Path, process::Stdio};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::{
    Part,
    contender::Contender,
    data::{self, Sizes},
    lab::Lab,
    peers,
};
use crate::support::{
    database,
    measure::{
        sample::Sample,
        table::{Cell, Row},
    },
};

pub const CASES: [(&str, &str); 2] = [("session inserts", "sessions"), ("message inserts", "messages")];

const CLIENTS: &str = "8";
/// How often it is each database's turn, and for how many seconds.
const TURNS: u32 = 6;
const SECONDS: u32 = 10;

/// Small, because a write costs the same whatever else is there; the busiest account has as many sessions as
/// benches/writes/messages.sql says.
const SIZES: Sizes = Sizes { middle: 1_000, large: 10_000 };

const PLAIN: &str = "writes";
const KEPT: &str = "writes_kept";

pub async fn run(lab: &Lab) -> Result<Vec<Row>> {
    let mut rows = CASES.map(|(case, _)| Row::new(Part::Writes.title(), case, "/s"));
    let server = &lab.site.server;
    let pgbench = match peers::find("pgbench") {
        Ok(pgbench) => pgbench,
        Err(error) => {
            for row in &mut rows {
                row.failed.insert(Contender::Ours.name(), format!("{error:#}"));
            }
            return Ok(rows.into());
        }
    };
    let admin = database::connect(&server.url("postgres")).await?;
    // What the last run wrote goes.
    for name in [PLAIN, KEPT] {
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} (FORCE)")).await?;
    }
    data::load(server, PLAIN, SIZES).await?;
    data::load_kept(server, PLAIN, KEPT, SIZES).await?;
    let databases = [(Contender::Ours, PLAIN), (Contender::Kept, KEPT)];
    let turns = lab.times(TURNS).max(2);
    let seconds = lab.times(SECONDS).max(1);
    lab.bar.set_length(u64::from(turns) * databases.len() as u64 * CASES.len() as u64);
    for (row, (_, script)) in rows.iter_mut().zip(CASES) {
        let mut lanes: Vec<Vec<f64>> = databases.iter().map(|_| Vec::new()).collect();
        for turn in 0..turns as usize {
            for place in 0..databases.len() {
                let place = (place + turn) % databases.len();
                lanes[place].push(rate(&pgbench, server.port(), databases[place].1, script, seconds).await?);
                lab.bar.inc(1);
            }
        }
        for ((contender, _), rates) in databases.iter().zip(lanes) {
            row.cells.extend(Cell::of(&Sample::of(rates), None).map(|cell| (contender.name(), cell)));
        }
    }
    for name in [PLAIN, KEPT] {
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} (FORCE)")).await?;
    }
    // The next start need not write again what was written.
    admin.batch_execute("CHECKPOINT").await?;
    Ok(rows.into())
}

/// Transactions a second.
async fn rate(pgbench: &Path, port: u16, name: &str, script: &str, seconds: u32) -> Result<f64> {
    let script = format!("{}/benches/writes/{script}.sql", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(pgbench);
    command.args(["--no-vacuum", "--protocol=extended", "--client", CLIENTS, "--jobs=2", "--username=postgres"]);
    command.args(["--time", &seconds.to_string(), "--host=127.0.0.1", "--port", &port.to_string()]);
    command.args(["--file", &script, name]).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.context("pgbench cannot be started")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let Some(line) = said.lines().find_map(|line| line.strip_prefix("tps = ")).filter(|_| output.status.success())
    else {
        bail!("pgbench: {}", String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("it does not say why"));
    };
    Ok(line.split(' ').next().unwrap_or_default().parse()?)
}
