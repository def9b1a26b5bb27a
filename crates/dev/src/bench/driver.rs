//! Runs this program optimised: it serves the events and speaks PostgreSQL's protocol while time is measured.

use std::{env, process::exit, time::Instant};

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::{build::build_driver, steps::Steps};

/// Builds this program optimised and runs it with the same arguments.
pub async fn run_optimised() -> Result<()> {
    let begin = Instant::now();
    let program = build_driver().await?;
    Steps::Error.done(begin, "driver", "this program, optimised");
    let mut command = Command::new(program);
    command.args(env::args_os().skip(1)).kill_on_drop(true);
    let status = command.status().await.context("the optimised program cannot be started")?;
    match status.code() {
        Some(0) => Ok(()),
        // It has printed the reason.
        code => exit(code.unwrap_or(1)),
    }
}
