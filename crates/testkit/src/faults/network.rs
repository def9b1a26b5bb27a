//! Every network fault in every phase of PostgreSQL's protocol.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use list_chat_sessions::database::CHECK_INTERVAL;
use tokio::time::sleep;
use tokio_postgres::Client;

use super::{FaultReport, FunctionUnderTest, Harness, Setup, accounts, unexpected};
use crate::{
    Authority, Chaos, Database, NetworkFault, Phase, Server, ServerOptions, certificates::NOW, running,
    wait_for_running,
};

/// Timeout of an invocation, and of its response, which is due 300 ms earlier.
const INVOCATION: Duration = Duration::from_secs(2);
const LATEST: Duration = Duration::from_millis(1_700);

/// The role's `statement_timeout` in a black hole, where only the server can end a query. It is disabled in all other
/// cases, so that the function has to cancel its queries.
const STATEMENT_TIMEOUT: &str = "1900ms";

/// Concurrent trials, because most of a trial is waiting.
const WORKERS: usize = 14;

/// A trial: the phase, whether with TLS, whether the connection was idle long enough to be checked, and whether the
/// query waits for a lock.
#[derive(Clone, Copy, Debug)]
struct Case {
    phase: Phase,
    encrypted: bool,
    idle: bool,
    locked: bool,
    fault: NetworkFault,
}

fn cases() -> Vec<Case> {
    use Phase::{Accept, Authentication, Check, Handshake, Query, Rows, SslRequest};
    let mut cases = Vec::new();
    for fault in NetworkFault::ALL {
        for encrypted in [false, true] {
            let phases = [Accept, SslRequest, Handshake, Authentication, Check, Query, Rows];
            let possible = |phase: &&Phase| encrypted || !matches!(phase, SslRequest | Handshake);
            let case = |phase, idle, locked| Case { phase, encrypted, idle, locked, fault };
            let idle = |phase: Phase| matches!(phase, Check | Query);
            cases.extend(phases.iter().filter(possible).map(|phase| case(*phase, idle(*phase), false)));
            cases.push(case(Check, false, false));
            cases.push(case(Query, false, true));
        }
    }
    cases
}

/// Returns the number of trials in a round.
pub fn round() -> u64 {
    cases().len() as u64
}

/// Tries every case `rounds` times; returns a report for each fault.
pub async fn run(harness: &Harness, rounds: u64) -> Result<Vec<FaultReport>> {
    let authority = Authority::new()?;
    let server = Server::start_with(ServerOptions::with_tls(authority.certify(&["127.0.0.1"], NOW)?))?;
    let cases = cases();
    let (server, pem) = (&server, &authority.pem());
    let workers = [false, true].into_iter().flat_map(|encrypted| {
        let mine: Vec<_> = cases.iter().filter(|case| case.encrypted == encrypted).copied().collect();
        // TLS has more phases.
        let workers = if encrypted { WORKERS * 8 / 14 } else { WORKERS * 6 / 14 };
        let parts: Vec<Vec<_>> =
            (0..workers).map(|worker| mine.iter().skip(worker).step_by(workers).copied().collect()).collect();
        parts.into_iter().map(move |cases| async move {
            Fixture::start(harness, server, encrypted.then_some(pem)).await?.run(harness, &cases, rounds).await
        })
    });
    let counted = try_join_all(workers).await?;
    Ok(NetworkFault::ALL
        .map(|fault| {
            let mut report = FaultReport::new(name(fault));
            counted.iter().flatten().filter(|(of, _)| *of == fault).for_each(|(_, part)| report.add(part));
            report
        })
        .into())
}

fn name(fault: NetworkFault) -> &'static str {
    match fault {
        NetworkFault::BlackHole => "network: black hole",
        NetworkFault::Stall => "network: one connection falls silent",
        NetworkFault::Reset => "network: reset",
        NetworkFault::HalfClose => "network: half-close",
        NetworkFault::Latency(_) => "network: latency",
        NetworkFault::Bytewise => "network: one byte at a time",
        NetworkFault::Narrow => "network: 1 kB/s",
    }
}

/// A function with its own proxy and database.
struct Fixture {
    database: String,
    chaos: Chaos,
    tested: FunctionUnderTest,
    admin: Client,
}

impl Fixture {
    async fn start(harness: &Harness, server: &Server, pem: Option<&String>) -> Result<Self> {
        let chaos = Chaos::start(server.port()).await?;
        let database = Database::create(server).await?;
        accounts::fill(&database, 1, 100).await?;
        let admin = database.client().await?;
        let name = database.url().rsplit_once('/').context("a URL ends with the database's name")?.1.to_owned();
        let mode = if pem.is_some() { "verify-full" } else { "disable" };
        let url = format!("postgres://postgres@127.0.0.1:{}/{name}?sslmode={mode}", chaos.port());
        let variables = pem.map(|pem| ("DATABASE_CA_PEM", pem.clone())).into_iter().collect();
        let setup = Setup { url: Some(url), variables, timeout: INVOCATION, ..Setup::default() };
        Ok(Self { database: name, chaos, tested: FunctionUnderTest::start(harness, database, setup).await?, admin })
    }

    async fn run(mut self, harness: &Harness, cases: &[Case], rounds: u64) -> Result<Vec<(NetworkFault, FaultReport)>> {
        let mut reports = Vec::new();
        for case in cases {
            let mut report = FaultReport::new(name(case.fault));
            for _ in 0..rounds {
                let wrong = self.attempt(*case).await.with_context(|| format!("{case:?}"))?;
                report.count(wrong.map(|wrong| format!("{case:?}: {wrong}")));
                harness.bar.inc(1);
            }
            reports.push((case.fault, report));
        }
        Ok(reports)
    }

    /// Runs one trial; returns what the function did wrong.
    async fn attempt(&mut self, case: Case) -> Result<Option<String>> {
        let statement_timeout = if case.fault == NetworkFault::BlackHole { STATEMENT_TIMEOUT } else { "0" };
        let set = format!("ALTER DATABASE {} SET statement_timeout = '{statement_timeout}'", self.database);
        self.admin.batch_execute(&set).await?;
        // Always opens a new connection, and completes its start for the later phases.
        self.chaos.cut();
        if matches!(case.phase, Phase::Check | Phase::Query | Phase::Rows)
            && let Some(wrong) = unexpected(&self.tested.request_page().await?, &[200])
        {
            return Ok(Some(format!("before the fault {wrong}")));
        }
        if case.idle {
            sleep(CHECK_INTERVAL + Duration::from_millis(20)).await;
        }
        let lock = if case.locked { Some(self.tested.database.client().await?) } else { None };
        if let Some(lock) = &lock {
            lock.batch_execute("SET statement_timeout = 0; BEGIN; LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE")
                .await?;
        }
        let fault = async {
            if case.locked {
                wait_for_running(&self.admin, |running| running > 0).await?;
                self.chaos.inject_now(case.fault);
            } else {
                self.chaos.inject_at(case.phase, case.fault);
            }
            anyhow::Ok(())
        };
        let ((), reply) = tokio::try_join!(fault, self.tested.request_page())?;
        anyhow::ensure!(self.chaos.injected() > 0, "the fault was not injected");
        let late = (reply.after > LATEST).then(|| format!("a response after {:?}", reply.after));
        let mut wrong = late.or_else(|| unexpected(&reply, &[200, 503, 504]));
        // During the fault, the server ends what the function could not cancel.
        if wait_for_running(&self.admin, |running| running == 0).await.is_err() {
            let left = running(&self.admin).await?.len();
            wrong = wrong.or_else(|| Some(format!("{left} queries are left on the server")));
        }
        self.chaos.end();
        drop(lock);
        let after = unexpected(&self.tested.request_page().await?, &[200]);
        Ok(wrong.or_else(|| after.map(|wrong| format!("after the fault {wrong}"))))
    }
}
