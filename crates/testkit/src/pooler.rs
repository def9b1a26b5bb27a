//! PgBouncer in transaction mode in front of a PostgreSQL server; it ends with its owner.

use std::{
    fs::{self, File},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    Database, Server, find_program,
    postgres::{TIMEOUT, free_port, home::command},
    role,
};

/// Connections to PostgreSQL that all clients of a database share.
pub const SERVER_CONNECTIONS: i64 = 2;

/// Runs PgBouncer until standard input closes, which it does however this process ends. SIGKILL, because PgBouncer has
/// nothing to lose and the meaning of its other signals depends on its version.
const UNTIL_CLOSED: &str =
    "exec 3<&0; \"$@\" 3<&- & pooler=$!; (read -r _ <&3; kill -KILL \"$pooler\") 2>/dev/null & wait \"$pooler\"";

/// A running PgBouncer; dropping it ends it.
pub struct Pooler {
    port: u16,
    process: Child,
}

impl Pooler {
    /// Starts in front of `server`, with these settings (`name=value`) in addition to the usual ones. Clients need no
    /// password. Fails if PgBouncer is not installed, or, with its log, if it does not start.
    pub fn start(server: &Server, settings: &[&str]) -> Result<Self> {
        let port = free_port()?;
        let name = server.folder().join(format!("pgbouncer-{port}"));
        let (config, log) = (name.with_extension("ini"), name.with_extension("log"));
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={} user={} password='{}'\n\
             [pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\nauth_type=any\n\
             pool_mode=transaction\ndefault_pool_size={SERVER_CONNECTIONS}\n{}\n",
            server.port(),
            role::NAME,
            role::PASSWORD.replace('\'', "''"),
            settings.join("\n")
        );
        // In the server's folder, which the user of PgBouncer can read.
        fs::write(&config, text)?;
        let process = command("sh")
            .args(["-c", UNTIL_CLOSED, "sh"])
            .args([binary()?, config])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .current_dir("/")
            .spawn()
            .context("sh cannot be started")?;
        let mut pooler = Self { port, process };
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if pooler.process.try_wait()?.is_some() || begin.elapsed() > TIMEOUT {
                bail!("PgBouncer does not start:\n{}", fs::read_to_string(&log)?.trim());
            }
            sleep(Duration::from_millis(5));
        }
        Ok(pooler)
    }

    /// Returns the URL of a database of the server through PgBouncer.
    pub fn url(&self, database: &Database) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{}", self.port, database.name())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        drop(self.process.wait());
    }
}

/// Returns PgBouncer's version. From 1.21 on, it supports prepared statements with `max_prepared_statements`.
pub fn version() -> Result<(u32, u32)> {
    let output = command(binary()?).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = || {
        let mut numbers = text.split_whitespace().nth(1)?.split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    version().with_context(|| format!("PgBouncer reports an unknown version: {text:?}"))
}

fn binary() -> Result<PathBuf> {
    // Debian installs it into a folder that is on the PATH of root only.
    find_program("pgbouncer", &["/usr/sbin", "/usr/local/sbin"])
        .context("no PgBouncer found: install it (Debian: `apt install pgbouncer`, macOS: `brew install pgbouncer`)")
}
