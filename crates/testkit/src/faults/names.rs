//! Names that are unknown, are resolved late or not at all, or lead to an address first at which nobody answers.
//!
//! The function runs in a mount namespace in which `/etc/resolv.conf` names a DNS server of ours, so that its own
//! resolver, the C library's, asks that server. That needs root: a name server answers at port 53.

mod server;

use std::{fs, net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use super::{FaultReport, FunctionUnderTest, Harness, Reply, Setup, accounts, sum, unless};
use crate::{
    Authority, Database, DeadAddress, Secrets, Server, ServerOptions, certificates::NOW, chaos::near_address,
    end_connections,
};
use server::{NameServer, Resolution};

/// The names of the two hosts.
const DATABASE_HOST: &str = "database.test";
const SECRETS_HOST: &str = "secrets.test";

/// Where both listen. The C library puts the address that is nearest to ours first, whatever the order of the DNS server, so
/// the dead addresses have to be nearer to 127.0.0.1 than this one.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 200, 0, 1);

/// An invocation, and when every response has to be there: 300 ms before its end.
const INVOCATION: Duration = Duration::from_secs(4);
const LATEST: Duration = Duration::from_millis(3_700);

/// How long a refresh of the key ring may take to be made: the maximum age, which is a second here, and faults before it.
const PATIENCE: Duration = Duration::from_secs(15);

/// How many requests are sent while names do not resolve.
const REQUESTS: usize = 2;

/// The most threads that a process may have: its own, and those that wait for the resolver. A request that is over leaves
/// its thread waiting, for 10 s with the resolver's usual options, in which there is time for a few requests.
const THREADS_MAX: usize = 16;

/// What goes wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameFault {
    /// NXDOMAIN
    Unknown,
    /// SERVFAIL
    Failing,
    /// No response from the DNS server.
    Silent,
    /// A response that leaves time for the rest.
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

    /// The statuses of a request that needs the name.
    fn expected(self) -> &'static [u16] {
        match self {
            Self::Unknown | Self::Failing | Self::Silent | Self::TooSlow => &[503],
            Self::Slow | Self::RefusingFirst | Self::DeadFirst => &[200],
        }
    }
}

/// The kinds of trial: each fault of the database's name, and of Secrets Manager's with a key ring and without.
pub const KINDS: u64 = 3 * NameFault::ALL.len() as u64;

/// Tries every fault so many times.
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

/// One function with the name server that it asks.
struct Fixture {
    tested: FunctionUnderTest,
    names: NameServer,
    admin: Client,
    ports: [u16; 2],
    _dead: Option<DeadAddress>,
    /// Holds the files that the function finds in `/etc`.
    _etc: TempDir,
}

impl Fixture {
    /// Starts while everything is well, or while Secrets Manager's name is not.
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
            Some(fault) => cause(&names, SECRETS_HOST, fault, ports[1]).await?,
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

    /// A new connection is needed while the database's name is not well.
    async fn connect(&self, fault: NameFault) -> Result<Option<String>> {
        if let Some(wrong) = unless(&self.tested.ask().await?, &[200]) {
            return Ok(Some(format!("before the fault {wrong}")));
        }
        let _dead = cause(&self.names, DATABASE_HOST, fault, self.ports[0]).await?;
        let mut wrong = None;
        for _ in 0..REQUESTS {
            end_connections(&self.admin).await?;
            wrong = wrong.or(judge(&self.tested.ask().await?, fault.expected()));
        }
        self.heal(wrong).await
    }

    /// The key ring is due and needs a new connection while Secrets Manager's name is not well: the last good one serves.
    async fn refresh(&self, fault: NameFault) -> Result<Option<String>> {
        let _dead = cause(&self.names, SECRETS_HOST, fault, self.ports[1]).await?;
        self.tested.secrets.hang_up();
        let (asked, begin) = (self.names.asked(SECRETS_HOST), Instant::now());
        let (mut wrong, mut rest) = (None, REQUESTS);
        while rest > 0 {
            wrong = wrong.or(judge(&self.tested.ask().await?, &[200]));
            rest -= usize::from(self.names.asked(SECRETS_HOST) > asked);
            ensure!(begin.elapsed() < PATIENCE, "the key ring is not refreshed");
            sleep(Duration::from_millis(5)).await;
        }
        self.heal(wrong).await
    }

    /// The environment has started while Secrets Manager's name was not well, and there is no key ring if that has cost it.
    async fn start_up(&self, fault: NameFault) -> Result<Option<String>> {
        let mut wrong = None;
        for _ in 0..REQUESTS {
            wrong = wrong.or(judge(&self.tested.ask().await?, fault.expected()));
        }
        self.heal(wrong).await
    }

    /// Names are well again, and the next request is served.
    async fn heal(&self, wrong: Option<String>) -> Result<Option<String>> {
        self.names.set(DATABASE_HOST, usual());
        self.names.set(SECRETS_HOST, usual());
        let after = judge(&self.tested.ask().await?, &[200]);
        Ok(wrong.or_else(|| after.map(|wrong| format!("after the fault {wrong}"))))
    }

    fn threads(&self) -> Result<usize> {
        let pid = self.tested.function.pid().context("it runs")?;
        // The process may have ended, which is counted already.
        Ok(fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count))
    }
}

fn usual() -> Resolution {
    Resolution::After(Duration::ZERO, vec![ADDRESS])
}

fn judge(reply: &Reply, expected: &[u16]) -> Option<String> {
    let late = (reply.after > LATEST).then(|| format!("an answer after {:?}", reply.after));
    unless(reply, expected).or(late)
}

/// Causes a fault of a name; gives what holds the dead address, if it needs one.
async fn cause(names: &NameServer, host: &str, fault: NameFault, port: u16) -> Result<Option<DeadAddress>> {
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
