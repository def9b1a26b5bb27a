//! The environment is frozen, its connection is lost, and the next event thaws it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{FaultReport, FunctionUnderTest, Harness, Setup, accounts, unexpected};
use crate::{Database, Server, end_connections};

/// Cycles after which the server is restarted, instead of terminating the connection.
const RESTART_EVERY: u64 = 20;

/// Freezes and thaws the function, optionally pinned to one core.
pub async fn run(harness: &Harness, cycles: u64, pinned: bool) -> Result<FaultReport> {
    let mut server = Server::start()?;
    let database = Database::create(&server).await?;
    accounts::fill(&database, 1, 10).await?;
    let tested = FunctionUnderTest::start(harness, database, Setup::default()).await?;
    let pid = Pid::from_raw(tested.function.pid().context("it runs")?.try_into()?);
    if pinned {
        pin(pid)?;
    }
    let name =
        if pinned { "frozen, connection killed, thawed, on one core" } else { "frozen, connection killed, thawed" };
    let mut report = FaultReport::new(name);
    let (mut killed, mut restarted) = (0, 0);
    let mut admin = tested.database.client().await?;
    for cycle in 1..=cycles {
        let before = tested.request_page().await?;
        kill(pid, Signal::SIGSTOP)?;
        wait_until_stopped(pid).await?;
        if cycle % RESTART_EVERY == 0 {
            // Blocking, because nothing else may run in between.
            server.stop()?;
            server.start_again()?;
            admin = tested.database.client().await?;
            restarted += 1;
        } else {
            ensure!(end_connections(&admin).await? > 0, "there is no connection to terminate");
            killed += 1;
        }
        let (after, ()) = tokio::try_join!(tested.request_page(), thaw(pid))?;
        report.count(unexpected(&before, &[200]).or_else(|| unexpected(&after, &[200])));
        harness.bar.inc(1);
    }
    ensure!(tested.function.pid() == u32::try_from(pid.as_raw()).ok(), "the environment was replaced");
    report.remark(&format!("{killed} by `pg_terminate_backend`, {restarted} by a restart of the server"));
    Ok(report)
}

/// Thaws the process after the event has had time to arrive. It usually arrives first; Lambda guarantees neither order.
async fn thaw(pid: Pid) -> Result<()> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    Ok(kill(pid, Signal::SIGCONT)?)
}

/// Waits until the kernel has stopped the process, as `/proc` reports where it exists.
async fn wait_until_stopped(pid: Pid) -> Result<()> {
    let begin = Instant::now();
    while let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        let state = status.rsplit_once(") ").map_or("", |(_, state)| state);
        if state.starts_with('T') {
            break;
        }
        ensure!(begin.elapsed() < Duration::from_secs(5), "the process does not stop: {status}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn pin(pid: Pid) -> Result<()> {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};

    let all = sched_getaffinity(pid)?;
    let first = (0..CpuSet::count()).find(|cpu| all.is_set(*cpu).unwrap_or_default());
    let mut one = CpuSet::new();
    one.set(first.context("a process has a core")?)?;
    Ok(sched_setaffinity(pid, &one)?)
}

#[cfg(not(target_os = "linux"))]
fn pin(_: Pid) -> Result<()> {
    anyhow::bail!("processes are pinned to cores on Linux only")
}
