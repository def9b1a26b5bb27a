//! The folder of this checkout's PostgreSQL servers, and the user they run as.
//!
//! ```text
//! target/dev/postgres/
//!   lock                 held while one of the below is created or removed
//!   npm/                 PostgreSQL's programs, where the system has none
//!   template-<version>/  a fresh data folder; copying it takes a fifth of initdb's time
//!   run-<id>/            one server: data/, log; its owner holds a lock on run-<id>.lock
//!   kept-<name>-<version>/  the same, but kept after its server has ended
//! ```

use std::{
    fs::{self, File, TryLockError},
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use nix::unistd::{Uid, User, geteuid};

/// PostgreSQL refuses to run as root, so root runs it as this user and group, which is "nobody" on most systems.
const UNPRIVILEGED: u32 = 65534;

/// The superuser needs no password; other roles need theirs, so that tests can rotate passwords.
const HOST_BASED_AUTHENTICATION: &str = "\
    host all postgres 127.0.0.1/32 trust\n\
    host all all all scram-sha-256\n";

/// Returns a command that runs as the user of PostgreSQL: our own, or an unprivileged one if we are root.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    if geteuid().is_root() {
        command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end and returns its output; its standard error becomes the error.
fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{program} cannot be started"))?;
    if !output.status.success() {
        bail!("{program} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn postgres_user() -> Uid {
    if geteuid().is_root() { Uid::from_raw(UNPRIVILEGED) } else { geteuid() }
}

/// Fails if a folder belongs to another user than the one that PostgreSQL runs as. The error names the folder, its
/// owner and the commands that repair it.
pub fn ensure_owned(folder: &Path) -> Result<()> {
    let owner = Uid::from_raw(fs::metadata(folder)?.uid());
    let user = postgres_user();
    if owner == user {
        return Ok(());
    }
    let sudo = if geteuid().is_root() { "" } else { "sudo " };
    bail!(
        "{folder} belongs to {}, and PostgreSQL would run as {} now. Remove it: {sudo}rm -rf '{folder}'; or hand it over: \
         {sudo}chown -R {user} '{folder}'",
        name(owner),
        name(user),
        folder = folder.display(),
    )
}

fn name(user: Uid) -> String {
    let name = User::from_uid(user).ok().flatten().map(|user| format!(" ({})", user.name)).unwrap_or_default();
    format!("user {user}{name}")
}

/// Returns the home folder: below the build folder, or below the system's temporary folder if PostgreSQL's user cannot
/// write to the build folder (a checkout in the home of root).
fn folder() -> Result<PathBuf> {
    let usual = crate::target_folder()?.join("dev/postgres");
    let own = |folder: &Path| -> Result<bool> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        if geteuid().is_root() {
            if fs::metadata(folder)?.uid() == 0 {
                chown(folder, Some(UNPRIVILEGED), Some(UNPRIVILEGED))?;
            }
            ensure_owned(folder)?;
        }
        let writable = command("test").arg("-w").arg(folder).status();
        Ok(writable.context("test cannot be started")?.success())
    };
    if own(&usual)? {
        return Ok(usual);
    }
    let other = std::env::temp_dir().join(format!("list-chat-sessions-{}", geteuid()));
    // Anyone may write there: a foreign link would make us change the owner of its target.
    let foreign = fs::symlink_metadata(&other).is_ok_and(|found| found.is_symlink());
    if foreign || !own(&other)? {
        bail!("PostgreSQL can write neither to {} nor to {}", usual.display(), other.display());
    }
    Ok(other)
}

/// The folder of a server, with a lock that marks it as in use.
pub struct RunFolder {
    pub path: PathBuf,
    pub binaries: PathBuf,
    kept: bool,
    _lock: File,
}

impl RunFolder {
    /// Creates a folder with a fresh data folder, and removes folders that killed processes may have left.
    pub fn create() -> Result<Self> {
        let home = folder()?;
        let everyone = File::create(home.join("lock"))?;
        everyone.lock()?;
        sweep(&home);
        let binaries = super::binaries::find(&home)?;
        let template = template(&home, &binaries)?;
        let id = format!("run-{:08x}", fastrand::u32(..));
        let lock = File::create_new(home.join(format!("{id}.lock")))?;
        lock.lock()?;
        let path = home.join(id);
        run(command("mkdir").arg("-m").arg("700").arg(&path))?;
        run(command("cp").arg("-R").arg(template).arg(path.join("data")))?;
        fs::write(path.join("data/pg_hba.conf"), HOST_BASED_AUTHENTICATION)?;
        Ok(Self { path, binaries, kept: false, _lock: lock })
    }

    /// Opens the kept folder of this name for this version of PostgreSQL, or creates it.
    pub fn keep(name: &str) -> Result<Self> {
        let home = folder()?;
        let everyone = File::create(home.join("lock"))?;
        everyone.lock()?;
        let binaries = super::binaries::find(&home)?;
        let template = template(&home, &binaries)?;
        let version = template.file_name().unwrap_or_default().to_string_lossy().replace("template-", "");
        let path = home.join(format!("kept-{name}-{version}"));
        let lock = File::create(home.join(format!("kept-{name}-{version}.lock")))?;
        if lock.try_lock().is_err() {
            bail!("{} is in use by another process", path.display());
        }
        if path.exists() {
            ensure_owned(&path)?;
        }
        if path.join("kept").exists() {
            // A server whose owner was killed may still be stopping.
            let stop = command(binaries.join("pg_ctl"))
                .args(["stop", "-s", "-m", "immediate", "-D"])
                .arg(path.join("data"))
                .output();
            drop(stop);
        } else {
            run(command("rm").arg("-rf").arg(&path))?;
            run(command("mkdir").arg("-m").arg("700").arg(&path))?;
            run(command("cp").arg("-R").arg(template).arg(path.join("data")))?;
            fs::write(path.join("data/pg_hba.conf"), HOST_BASED_AUTHENTICATION)?;
            // Last, so that an interrupted copy is made again.
            run(command("touch").arg(path.join("kept")))?;
        }
        Ok(Self { path, binaries, kept: true, _lock: lock })
    }

    /// Returns whether it is kept after its server has ended.
    pub fn is_kept(&self) -> bool {
        self.kept
    }

    pub fn owner(&self) -> Result<u32> {
        Ok(fs::metadata(self.path.join("data"))?.uid())
    }
}

impl Drop for RunFolder {
    /// The watchdog removes the folder itself.
    fn drop(&mut self) {
        if !self.kept {
            drop(fs::remove_file(self.path.with_extension("lock")));
        }
    }
}

/// Removes the folders and locks of ended processes. Failures are harmless: the next process tries again.
fn sweep(home: &Path) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let folder = entry.path().with_extension("");
        let lock = folder.with_extension("lock");
        let held = File::open(&lock).map(|file| file.try_lock());
        let in_use = matches!(held, Ok(Err(TryLockError::WouldBlock)));
        if entry.file_name().to_string_lossy().starts_with("run-") && !in_use {
            drop(fs::remove_dir_all(&folder));
            if !folder.exists() {
                drop(fs::remove_file(&lock));
            }
        }
    }
}

/// Returns the template of this version of PostgreSQL, created once. The caller holds the home's lock.
fn template(home: &Path, binaries: &Path) -> Result<PathBuf> {
    let version = run(command(binaries.join("postgres")).arg("--version"))?;
    let version: String =
        version.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let template = home.join(format!("template-{version}"));
    if !template.exists() {
        let partial = home.join("partial");
        run(command("rm").arg("-rf").arg(&partial))?;
        let arguments = ["--username=postgres", "--auth=trust", "--locale=C", "--encoding=UTF8"];
        run(command(binaries.join("initdb"))
            .args(arguments)
            .args(["--no-sync", "--no-instructions", "-D"])
            .arg(&partial))?;
        fs::rename(&partial, &template)?;
    }
    ensure_owned(&template)?;
    Ok(template)
}
