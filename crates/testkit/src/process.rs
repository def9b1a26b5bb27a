//! CPU time and memory of a process from Linux's /proc, and the size of files.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};

/// Returns the CPU time of all running threads; ended threads are not counted.
pub fn cpu(pid: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("time is read from Linux's /proc")? {
        // The thread may have ended.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        nanoseconds += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Returns the resident memory in KiB.
pub fn resident(pid: u32) -> Result<u64> {
    status(pid, "VmRSS:")
}

/// Returns the peak resident memory in KiB.
pub fn peak(pid: u32) -> Result<u64> {
    status(pid, "VmHWM:")
}

fn status(pid: u32, field: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("memory is read from Linux's /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).context("a process has memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Returns the size in bytes of a file, or of all files below a folder.
pub fn size(path: &Path) -> Result<u64> {
    let found = fs::symlink_metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    if !found.is_dir() {
        return Ok(found.len());
    }
    fs::read_dir(path)?.map(|entry| size(&entry?.path())).sum()
}
