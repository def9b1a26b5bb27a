//! Name resolution: names that do not resolve, resolve late, or resolve to a dead address first.
//!
//! The function runs in a mount namespace in which `/etc/resolv.conf` names our DNS server, so that its resolver, the C
//! library's, queries that server. This needs root, because DNS uses port 53.

mod server;

use std::{fs, net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use super::{FaultReport, FunctionUnderTest, Harness, Reply, Setup, accounts, sum, unexpected};
use crate::{
    Authority, Database, DeadAddress, Secrets, Server, ServerOptions, certificates::NOW, chaos::near_address,
    end_connections,
};
use server::{NameServer, Resolution};

/// Host names of the database and of Secrets Manager.
const DATABASE_HOST: &str = "database.test";
const SECRETS_HOST: &str = "secrets.test";

/// The address of both. The C library sorts the address nearest to ours first, regardless of the order in the DNS
/// response, so the dead addresses are nearer to 127.0.0.1 than this one.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 200, 0, 1);

/// Timeout of an invocation, and of its response, which is due 300 ms earlier.
const INVOCATION: Duration = Duration::from_secs(4);
const LATEST: Duration = Duration::from_millis(3_700);

/// Timeout for a refresh of the key ring: the maximum age of one second, and faults before it.
const PATIENCE: Duration = Duration::from_secs(15);

/// Requests that are sent during a fault.
const REQUESTS: usize = 2;

/// Limit for the threads of a process: its own, and those that wait for the resolver. An abandoned lookup keeps its
/// thread for 10 s by default, enough time for a few requests.
const THREADS_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameFault {
    /// NXDOMAIN
    Unknown,
    /// SERVFAIL
    Failing,
    /// No response from the DNS server.
    Silent,
    /// A delayed response, in time for the rest.
    Slow,
    /// A response after the invocation.
    TooSlow,
    /// Two addresses, of which the first refuses connections.
    RefusingFirst,
    /// Two addresses, of which the first does not respond.
    DeadFirst,
}

impl NameFault {
    const ALL: [Self; 7] =
        [Self::Unknown, Self::Failing, Self::Silent, Self::Slow, Self::TooSlow, Self::RefusingFirst, Self::DeadFirst];

    /// Returns the expected statuses of a request that needs the name.
    fn expected(self) -> &'static [u16] {
        match self {
            Self::Unknown | Self::Failing | Self::Silent | Self::TooSlow => &[503],
            Self::Slow | Self::RefusingFirst | Self::DeadFirst => &[200],
        }
    }
}

/// Number of kinds of trials: each fault of the database's name, and of Secrets Manager's with and without a cached key
/// ring.
pub const KINDS: u64 = 3 * NameFault::ALL.len() as u64;

pub async fn run(harness: &Harness, count: u64) -> Result<Vec<FaultReport>> {
    let authority = Authority::new()?;
    let mut options = ServerOptions::with_tls(authority.certify(&[DATABASE_HOST], NOW)?);
    options.settings.push(format!("listen_addresses=127.0.0.1,{ADDRESS}"));
    let server = Server::start_with(options)?;
    let (server, pem) = (&server, &authority.pem());
    let names = [
        "the database's name not resolved, slowly, or to a dead address first",
        "Secrets Manager's name, key ring warm",
        "the same, no key ring yet",
    ];
    let workers = NameFault::ALL.into_iter().map(|fault| async move {
        let mut reports = names.map(FaultReport::new);
        let mut threads = 0;
        for _ in 0..count {
            for (kind, report) in reports.iter_mut().enumerate() {
                let fixture = Fixture::start(harness, server, pem, (kind == 2).then_some(fault)).await?;
                let wrong = match kind {
                    0 => fixture.connect(fault).await,
                    1 => fixture.refresh(fault).await,
                    _ => fixture.start_up(fault).await,
                };
                let wrong = wrong.with_context(|| format!("{fault:?}, {}", names[kind]))?;
                let there = fixture.threads()?;
                threads = threads.max(there);
                let many = (there > THREADS_MAX).then(|| format!("{there} threads"));
                report.count(wrong.or(many).map(|wrong| format!("{fault:?}: {wrong}")));
                harness.bar.inc(1);
            }
        }
        anyhow::Ok((reports, threads))
    });
    let (reports, threads): (Vec<_>, Vec<_>) = try_join_all(workers).await?.into_iter().unzip();
    let (mut sums, threads) = (sum(reports), threads.into_iter().max().unwrap_or_default());
    sums[0].remark(&format!("{threads} threads at most"));
    Ok(sums.into())
}

struct Fixture {
    tested: FunctionUnderTest,
    names: NameServer,
    admin: Client,
    ports: [u16; 2],
    _dead: Option<DeadAddress>,
    /// The files that the function sees in `/etc`.
    _etc: TempDir,
}

impl Fixture {
    /// Starts without a fault, or with one of Secrets Manager's name.
    async fn start(harness: &Harness, server: &Server, pem: &str, secrets_fault: Option<NameFault>) -> Result<Self> {
        let names = NameServer::start().await?;
        let etc = tempfile::tempdir()?;
        let [resolv, switch] = ["resolv.conf", "nsswitch.conf"].map(|name| etc.path().join(name));
        fs::write(&resolv, format!("nameserver {}\n", names.address()))?;
        fs::write(&switch, "hosts: dns\n")?;
        let script = "mount --bind $0 /etc/resolv.conf && mount --bind $1 /etc/nsswitch.conf && exec \"$2\"";
        let launcher = ["unshare", "--mount", "sh", "-c", script].map(ToOwned::to_owned).into_iter();
        let launcher = launcher.chain([resolv, switch].map(|path| path.display().to_string())).collect();

        let database = Database::create(server).await?;
        accounts::fill(&database, 1, 10).await?;
        let admin = database.client().await?;
        let secrets = Secrets::start_on(ADDRESS.into()).await?;
        names.set(DATABASE_HOST, usual());
        names.set(SECRETS_HOST, usual());
        let port = |url: &str| url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).context("a port");
        let ports = [server.port(), port(secrets.url())?];
        let dead = match secrets_fault {
            Some(fault) => inject(&names, SECRETS_HOST, fault, ports[1]).await?,
            None => None,
        };
        let url = format!("{}?sslmode=verify-full", database.url().replace("127.0.0.1", DATABASE_HOST));
        let variables = vec![("DATABASE_CA_PEM", pem.to_owned()), ("SECRET_MAX_AGE_SECONDS", "1".to_owned())];
        let setup = Setup {
            url: Some(url),
            variables,
            secrets: Some(secrets),
            secrets_host: Some(SECRETS_HOST.to_owned()),
            launcher,
            timeout: INVOCATION,
            ..Setup::default()
        };
        let tested = FunctionUnderTest::start(harness, database, setup).await?;
        Ok(Self { tested, names, admin, ports, _dead: dead, _etc: etc })
    }

    /// Requests new connections during a fault of the database's name.
    async fn connect(&self, fault: NameFault) -> Result<Option<String>> {
        if let Some(wrong) = unexpected(&self.tested.request_page().await?, &[200]) {
            return Ok(Some(format!("before the fault {wrong}")));
        }
        let _dead = inject(&self.names, DATABASE_HOST, fault, self.ports[0]).await?;
        let mut wrong = None;
        for _ in 0..REQUESTS {
            end_connections(&self.admin).await?;
            wrong = wrong.or(flaw(&self.tested.request_page().await?, fault.expected()));
        }
        self.recover(wrong).await
    }

    /// Makes a refresh of the key ring need a new connection during a fault of Secrets Manager's name: the cached ring
    /// is used.
    async fn refresh(&self, fault: NameFault) -> Result<Option<String>> {
        let _dead = inject(&self.names, SECRETS_HOST, fault, self.ports[1]).await?;
        self.tested.secrets.hang_up();
        let (before, begin) = (self.names.queries(SECRETS_HOST), Instant::now());
        let (mut wrong, mut rest) = (None, REQUESTS);
        while rest > 0 {
            wrong = wrong.or(flaw(&self.tested.request_page().await?, &[200]));
            rest -= usize::from(self.names.queries(SECRETS_HOST) > before);
            ensure!(begin.elapsed() < PATIENCE, "the key ring is not refreshed");
            sleep(Duration::from_millis(5)).await;
        }
        self.recover(wrong).await
    }

    /// Sends requests to an environment that was started during a fault of Secrets Manager's name, perhaps without a
    /// key ring.
    async fn start_up(&self, fault: NameFault) -> Result<Option<String>> {
        let mut wrong = None;
        for _ in 0..REQUESTS {
            wrong = wrong.or(flaw(&self.tested.request_page().await?, fault.expected()));
        }
        self.recover(wrong).await
    }

    /// Ends the fault; the next request must succeed.
    async fn recover(&self, wrong: Option<String>) -> Result<Option<String>> {
        self.names.set(DATABASE_HOST, usual());
        self.names.set(SECRETS_HOST, usual());
        let after = flaw(&self.tested.request_page().await?, &[200]);
        Ok(wrong.or_else(|| after.map(|wrong| format!("after the fault {wrong}"))))
    }

    fn threads(&self) -> Result<usize> {
        let pid = self.tested.function.pid().context("it runs")?;
        // The process may have ended, which is already counted.
        Ok(fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count))
    }
}

fn usual() -> Resolution {
    Resolution::After(Duration::ZERO, vec![ADDRESS])
}

fn flaw(reply: &Reply, expected: &[u16]) -> Option<String> {
    let late = (reply.after > LATEST).then(|| format!("a response after {:?}", reply.after));
    unexpected(reply, expected).or(late)
}

/// Injects a fault of a name; returns the dead address if it needs one.
async fn inject(names: &NameServer, host: &str, fault: NameFault, port: u16) -> Result<Option<DeadAddress>> {
    let mut dead = None;
    names.set(
        host,
        match fault {
            NameFault::Unknown => Resolution::Unknown,
            NameFault::Failing => Resolution::Failing,
            NameFault::Silent => Resolution::Silent,
            NameFault::Slow => Resolution::After(Duration::from_millis(600), vec![ADDRESS]),
            NameFault::TooSlow => Resolution::After(INVOCATION + Duration::from_secs(1), vec![ADDRESS]),
            // Nothing listens there.
            NameFault::RefusingFirst => Resolution::After(Duration::ZERO, vec![near_address(), ADDRESS]),
            NameFault::DeadFirst => {
                let address = dead.insert(DeadAddress::hold(port).await?).address();
                Resolution::After(Duration::ZERO, vec![address, ADDRESS])
            }
        },
    );
    Ok(dead)
}
