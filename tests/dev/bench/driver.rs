//! This program once more, optimised: it hands out the events and speaks PostgreSQL's protocol while the clock runs.

use std::{env, time::Instant};

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::{build::build_driver, steps::Steps};

/// Builds it, and has it do what this one was asked to.
pub async fn run_optimised() -> Result<()> {
    let begin = Instant::now();
    let program = build_driver().await?;
    Steps::Error.done(begin, "driver", "this program, optimised");
    let mut command = Command::new(program);
    command.args(env::args_os().skip(1)).kill_on_drop(true);
    let status = command.status().await.context("the optimised program cannot be started")?;
    ensure!(status.success(), "the bench ended with {status}");
    Ok(())
}
