//! Every unusual state of the database, and its return to normal.

use std::{
    cell::Cell,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio_postgres::Client;

use super::{FaultReport, FunctionUnderTest, Harness, Setup, accounts, unexpected};
use crate::{Database, Server, end_connections, running, wait_for_running};

/// Timeout of connecting, and a margin.
const CONNECT_BUDGET: Duration = Duration::from_millis(3_500);

/// Timeout for PostgreSQL to recover.
const PATIENCE: Duration = Duration::from_secs(20);

pub const KINDS: u64 = 7;

/// Brings the database into each state `count` times.
pub async fn run(harness: &Harness, count: u64) -> Result<Vec<FaultReport>> {
    let fixture = Fixture::start(harness).await?;
    let mut reports = [
        "database restarted under load",
        "database shutting down (57P03)",
        "database out of connections (53300)",
        "database read-only",
        "database a standby, then promoted",
        "backend ended in mid-query (57P01)",
        "backend crashed in mid-query (57P02)",
    ]
    .map(FaultReport::new);
    for _ in 0..count {
        let [restarted, closing, full, read_only, standby, ended, crashed] = &mut reports;
        fixture.restart(restarted).await?;
        closing.count(fixture.close().await?);
        full.count(fixture.fill().await?);
        read_only.count(fixture.read_only().await?);
        standby.count(fixture.stand_by().await?);
        ended.count(fixture.end_query().await?);
        crashed.count(fixture.crash().await?);
        harness.bar.inc(KINDS);
    }
    Ok(reports.into())
}

struct Fixture {
    server: Arc<Mutex<Server>>,
    tested: FunctionUnderTest,
}

impl Fixture {
    async fn start(harness: &Harness) -> Result<Self> {
        let server = Server::start()?;
        let database = Database::create(&server).await?;
        accounts::fill(&database, 1, 10).await?;
        Ok(Self {
            tested: FunctionUnderTest::start(harness, database, Setup::default()).await?,
            server: Arc::new(Mutex::new(server)),
        })
    }

    async fn admin(&self) -> Result<Client> {
        self.tested.database.client().await
    }

    /// Runs a blocking operation of the server while requests continue.
    async fn server<T: Send + 'static>(&self, act: fn(&mut Server) -> Result<T>) -> Result<T> {
        let server = Arc::clone(&self.server);
        tokio::task::spawn_blocking(move || act(&mut server.lock().unwrap_or_else(PoisonError::into_inner))).await?
    }

    /// Checks the first response after the database has recovered.
    async fn recovered(&self) -> Result<Option<String>> {
        Ok(unexpected(&self.tested.request_page().await?, &[200]).map(|wrong| format!("after the fault {wrong}")))
    }

    /// Restarts the server under load: all requests that fail get `Retry-After`, in time.
    async fn restart(&self, report: &mut FaultReport) -> Result<()> {
        let done = Cell::new(false);
        let restart = async {
            self.server(Server::stop).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            let started = self.server(Server::start_again).await;
            done.set(true);
            started
        };
        let load = async {
            let mut replies = Vec::new();
            while !done.get() {
                replies.push(self.tested.request_page().await?);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Ok(replies)
        };
        let ((), replies) = tokio::try_join!(restart, load)?;
        for reply in &replies {
            let late = (reply.after > CONNECT_BUDGET).then(|| format!("{} after {:?}", reply.status, reply.after));
            report.count(unexpected(reply, &[200, 503]).or(late));
        }
        ensure!(replies.iter().any(|reply| reply.status == 503), "no request failed during the restart");
        report.count(self.recovered().await?);
        Ok(())
    }

    /// Shuts the server down: it serves existing connections and rejects new ones.
    async fn close(&self) -> Result<Option<String>> {
        let admin = self.admin().await?;
        let postmaster = self.server(|server| {
            let pid = std::fs::read_to_string(server.folder().join("data/postmaster.pid"))?;
            Ok(pid.lines().next().unwrap_or_default().parse()?)
        });
        kill(Pid::from_raw(postmaster.await?), Signal::SIGTERM)?;
        while self.admin().await.is_ok() {}
        let existing = self.tested.request_page().await?;
        end_connections(&admin).await?;
        let new = self.tested.request_page().await?;
        drop(admin);
        self.server(Server::start_again).await?;
        Ok(unexpected(&existing, &[200]).or_else(|| unexpected(&new, &[503])).or(self.recovered().await?))
    }

    async fn fill(&self) -> Result<Option<String>> {
        let admin = self.admin().await?;
        admin.batch_execute("ALTER ROLE list_chat_sessions CONNECTION LIMIT 0").await?;
        end_connections(&admin).await?;
        let full = self.tested.request_page().await?;
        admin.batch_execute("ALTER ROLE list_chat_sessions CONNECTION LIMIT -1").await?;
        Ok(unexpected(&full, &[503]).or(self.recovered().await?))
    }

    async fn read_only(&self) -> Result<Option<String>> {
        let admin = self.admin().await?;
        admin.batch_execute("ALTER ROLE list_chat_sessions SET default_transaction_read_only = on").await?;
        end_connections(&admin).await?;
        let wrong = self.recovered().await?;
        admin.batch_execute("ALTER ROLE list_chat_sessions RESET default_transaction_read_only").await?;
        Ok(wrong)
    }

    /// Simulates a failover: the server stops, a standby takes its place, and is promoted.
    async fn stand_by(&self) -> Result<Option<String>> {
        self.admin().await?.batch_execute("CHECKPOINT").await?;
        self.server(Server::stand_by).await?;
        let standing_by = self.recovered().await?;
        let admin = self.admin().await?;
        let promoted: bool = admin.query_typed_one("SELECT pg_is_in_recovery() AND pg_promote()", &[]).await?.get(0);
        ensure!(promoted, "the server is not a standby");
        Ok(standing_by.or(self.recovered().await?))
    }

    async fn end_query(&self) -> Result<Option<String>> {
        let [admin, other] = [self.admin().await?, self.admin().await?];
        admin.batch_execute("BEGIN; LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE").await?;
        let fault = async {
            wait_for_running(&other, |running| running > 0).await?;
            end_connections(&other).await?;
            wait_for_running(&other, |running| running > 0).await?;
            Ok(admin.batch_execute("COMMIT").await?)
        };
        let (reply, ()) = tokio::try_join!(self.tested.request_page(), fault)?;
        Ok(unexpected(&reply, &[200]))
    }

    /// Kills a backend, which makes the server close all connections and recover.
    async fn crash(&self) -> Result<Option<String>> {
        let [admin, other] = [self.admin().await?, self.admin().await?];
        admin.batch_execute("BEGIN; LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE").await?;
        let fault = async {
            wait_for_running(&other, |running| running > 0).await?;
            let backend = running(&other).await?[0];
            Ok(kill(Pid::from_raw(backend), Signal::SIGKILL)?)
        };
        let (reply, ()) = tokio::try_join!(self.tested.request_page(), fault)?;
        let begin = Instant::now();
        while self.admin().await.is_err() {
            ensure!(begin.elapsed() < PATIENCE, "the server does not recover");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(unexpected(&reply, &[200, 503]).or(self.recovered().await?))
    }
}
