//! The environment is frozen, its connection is lost, and the next event thaws it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{FaultReport, FunctionUnderTest, Harness, Setup, accounts, unless};
use crate::{Database, Server, end_connections};

/// One cycle in so many restarts the server instead of ending the connection.
const RESTART_EVERY: u64 = 20;

/// Freezes and thaws so many times; on one core if it is told to.
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
        let before = tested.ask().await?;
        kill(pid, Signal::SIGSTOP)?;
        wait_until_stopped(pid).await?;
        if cycle % RESTART_EVERY == 0 {
            // Blocking, because nothing else may happen until then.
            server.stop()?;
            server.start_again()?;
            admin = tested.database.client().await?;
            restarted += 1;
        } else {
            ensure!(end_connections(&admin).await? > 0, "there is no connection to end");
            killed += 1;
        }
        let (answer, ()) = tokio::try_join!(tested.ask(), thaw(pid))?;
        report.count(unless(&before, &[200]).or_else(|| unless(&answer, &[200])));
        harness.bar.inc(1);
    }
    ensure!(tested.function.pid() == u32::try_from(pid.as_raw()).ok(), "the environment is another one");
    report.remark(&format!("{killed} by `pg_terminate_backend`, {restarted} by a restart of the server"));
    Ok(report)
}

/// Lets the process go on once the event has had the time to get to it. That it gets there first is usual, and not
/// needed: Lambda promises neither.
async fn thaw(pid: Pid) -> Result<()> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    Ok(kill(pid, Signal::SIGCONT)?)
}

/// The kernel stops a process at its next chance; it says so in `/proc`, where there is one.
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
