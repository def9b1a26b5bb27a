//! PostgreSQL servers, each with its own data folder and port, which end with their owner.

mod binaries;
pub mod home;

use std::{
    fs,
    io::Write,
    net::TcpListener,
    os::unix::{
        fs::{OpenOptionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::{Child, Stdio},
    sync::OnceLock,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;
use tokio::sync::OnceCell;

use crate::Certificate;

use home::RunFolder;

/// Timeout for PostgreSQL to start or to end.
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

/// Settings that trade durability for speed; commits survive the end of PostgreSQL, but not of the machine.
const SETTINGS: [&str; 6] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "full_page_writes=off",
    "max_connections=200",
    "max_wal_size=4GB",
];

/// Options of a server in addition to the usual ones.
#[derive(Default)]
pub struct ServerOptions {
    /// Settings as `name=value`, for example `max_connections=5`.
    pub settings: Vec<String>,
    /// Files for the data folder as (name, text), readable by PostgreSQL only: see [`ServerOptions::with_tls`].
    pub files: Vec<(String, String)>,
    /// Name under which the data is stored for the next time; `None` to remove it with the server.
    pub kept: Option<String>,
}

impl ServerOptions {
    /// Returns options with TLS and this certificate.
    pub fn with_tls(certificate: Certificate) -> Self {
        let files = vec![("server.crt".into(), certificate.chain), ("server.key".into(), certificate.key)];
        Self { settings: vec!["ssl=on".into()], files, ..Self::default() }
    }
}

/// A running PostgreSQL. Dropping it, or ending this process in any way, stops it and removes its data, unless the data
/// is to be kept.
pub struct Server {
    folder: RunFolder,
    port: u16,
    settings: Vec<String>,
    watchdog: Option<Child>,
    /// Set once the database that [`crate::database::Database`] copies exists.
    pub(super) template: OnceCell<()>,
}

impl Server {
    /// Starts a server with the usual settings. Fails if PostgreSQL is not installed, or, with its log, if it does not
    /// start.
    pub fn start() -> Result<Self> {
        Self::start_with(ServerOptions::default())
    }

    pub fn start_with(options: ServerOptions) -> Result<Self> {
        let folder = match &options.kept {
            None => RunFolder::create()?,
            Some(name) => RunFolder::keep(name)?,
        };
        // A copy, because the user of PostgreSQL may be unable to read the source.
        fs::write(folder.path.join("watchdog.sh"), include_str!("postgres/watchdog.sh"))?;
        let mut server =
            Self { folder, port: 0, settings: options.settings, watchdog: None, template: OnceCell::new() };
        for (name, text) in &options.files {
            server.write(name, text)?;
        }
        // Retries with another port if another process takes a free one first.
        for attempt in 1.. {
            server.port = free_port()?;
            match server.start_again() {
                Err(error) if attempt < 5 && format!("{error:#}").contains("could not bind") => {
                    server.stop()?;
                }
                result => return result.map(|()| server),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Returns a server for the whole process, started on first use; its watchdog stops it when the process ends.
    ///
    /// # Panics
    ///
    /// If it cannot be started, with the reason.
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<Server> = OnceLock::new();
        SERVER.get_or_init(|| Self::start().unwrap_or_else(|error| panic!("PostgreSQL does not start: {error:#}")))
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Writes a file into the data folder, readable by PostgreSQL only.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.path.join("data").join(name);
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        if geteuid().is_root() {
            chown(&path, Some(self.folder.owner()?), None)?;
        }
        Ok(())
    }

    /// Stops PostgreSQL immediately, as in a crash; data and port stay for [`Server::start_again`].
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut watchdog) = self.watchdog.take() {
            if let Some(mut pipe) = watchdog.stdin.take() {
                pipe.write_all(b"keep\n")?;
            }
            watchdog.wait()?;
        }
        Ok(())
    }

    /// Starts PostgreSQL on the same data and port after [`Server::stop`], and waits until it accepts connections.
    pub fn start_again(&mut self) -> Result<()> {
        self.stop()?;
        let folder = &self.folder.path;
        // Run as the owner of the folder, because we may lack the permission.
        home::command("rm").arg("-f").args(["ended", "log"].map(|name| folder.join(name))).status()?;
        let mut watchdog = home::command("sh");
        watchdog.arg(folder.join("watchdog.sh")).arg(folder);
        watchdog.arg(self.folder.binaries.join("pg_ctl")).arg(self.folder.binaries.join("postgres"));
        watchdog.arg("-D").arg(folder.join("data")).args(["-p", &self.port.to_string()]);
        for setting in SETTINGS.into_iter().chain(self.settings.iter().map(String::as_str)) {
            watchdog.args(["-c", setting]);
        }
        // In its own process group, so that Ctrl-C in a terminal does not reach PostgreSQL, which ends when we do.
        watchdog.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        watchdog.current_dir("/");
        self.watchdog = Some(watchdog.spawn().context("sh cannot be started")?);
        self.wait_until_ready()
    }

    /// Stops PostgreSQL as [`Server::stop`] does and starts it as a standby, which can be promoted.
    pub fn stand_by(&mut self) -> Result<()> {
        self.stop()?;
        home::command("touch").arg(self.folder.path.join("data/standby.signal")).status()?;
        self.start_again()
    }

    fn wait_until_ready(&self) -> Result<()> {
        let folder = &self.folder.path;
        let begin = Instant::now();
        // PostgreSQL reports in the eighth line of this file whether it accepts connections.
        let status = || fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
        while status().lines().nth(7).is_none_or(|status| !["ready", "standby"].contains(&status.trim())) {
            if folder.join("ended").exists() || begin.elapsed() > TIMEOUT {
                let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
                bail!("PostgreSQL does not start:\n{}", log.trim());
            }
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            drop(watchdog.stdin.take());
            drop(watchdog.wait());
        } else if !self.folder.is_kept() {
            drop(home::command("rm").arg("-rf").arg(&self.folder.path).status());
        }
    }
}

pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
