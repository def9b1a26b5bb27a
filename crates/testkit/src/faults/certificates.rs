//! PostgreSQL's certificate expires or is replaced by a wrong one under an open connection, and is then renewed.

use std::time::{Duration, SystemTime};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use super::{FaultReport, FunctionUnderTest, Harness, Setup, accounts, sum, unexpected};
use crate::{
    Authority, Certificate, Database, Server, ServerOptions, certificates::NOW, database, end_connections, processes,
};

/// The only name in a good certificate.
const HOST: &str = "127.0.0.1";

/// Validity of a certificate that expires. Certificates count whole seconds.
const VALIDITY: Duration = Duration::from_secs(2);

/// Timeout for PostgreSQL to load a certificate, and for a line to arrive in the log.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CertificateFault {
    Expires,
    AnotherAuthority,
    AnotherName,
}

impl CertificateFault {
    const ALL: [Self; 3] = [Self::Expires, Self::AnotherAuthority, Self::AnotherName];

    /// Returns the cause that the log must contain.
    fn cause(self) -> &'static str {
        match self {
            Self::Expires => "certificate expired",
            Self::AnotherAuthority => "certificate: UnknownIssuer",
            Self::AnotherName => "not valid for name",
        }
    }
}

pub const KINDS: u64 = CertificateFault::ALL.len() as u64;

pub async fn run(harness: &Harness, count: u64) -> Result<Vec<FaultReport>> {
    let workers = CertificateFault::ALL.into_iter().map(|fault| async move {
        let mut report = FaultReport::new("PostgreSQL's certificate expires or is wrong under an open connection");
        let fixture = Fixture::start(harness).await?;
        for _ in 0..count {
            report.count(fixture.attempt(fault).await?.map(|wrong| format!("{fault:?}: {wrong}")));
            harness.bar.inc(1);
        }
        anyhow::Ok([report])
    });
    let mut sums = sum(try_join_all(workers).await?);
    sums[0].remark("expired, of another authority, for another name; then renewed");
    Ok(sums.into())
}

struct Fixture {
    server: Server,
    authority: Authority,
    tested: FunctionUnderTest,
    admin: Client,
}

impl Fixture {
    async fn start(harness: &Harness) -> Result<Self> {
        let authority = Authority::new()?;
        let server = Server::start_with(ServerOptions::with_tls(authority.certify(&[HOST], NOW)?))?;
        let database = Database::create(&server).await?;
        accounts::fill(&database, 1, 10).await?;
        let admin = database.client().await?;
        let setup = Setup {
            url: Some(format!("{}?sslmode=verify-full", database.url())),
            variables: vec![("DATABASE_CA_PEM", authority.pem())],
            ..Setup::default()
        };
        Ok(Self { server, authority, tested: FunctionUnderTest::start(harness, database, setup).await?, admin })
    }

    async fn attempt(&self, fault: CertificateFault) -> Result<Option<String>> {
        if let Some(wrong) = unexpected(&self.tested.request_page().await?, &[200]) {
            return Ok(Some(format!("before the fault {wrong}")));
        }
        match fault {
            CertificateFault::Expires => {
                let end = SystemTime::now() + VALIDITY;
                self.install(self.authority.certify_until(&[HOST], end)?).await?;
                end_connections(&self.admin).await?;
                if let Some(wrong) = unexpected(&self.tested.request_page().await?, &[200]) {
                    return Ok(Some(format!("with a certificate that expires soon {wrong}")));
                }
                sleep(end.duration_since(SystemTime::now()).unwrap_or_default() + Duration::from_millis(1_100)).await;
            }
            CertificateFault::AnotherAuthority => self.install(Authority::new()?.certify(&[HOST], NOW)?).await?,
            CertificateFault::AnotherName => self.install(self.authority.certify(&["database.test"], NOW)?).await?,
        }
        let wrong = self.observe(fault).await?;
        self.install(self.authority.certify(&[HOST], NOW)?).await?;
        let renewed = unexpected(&self.tested.request_page().await?, &[200]);
        Ok(wrong.or_else(|| renewed.map(|wrong| format!("after the renewal {wrong}"))))
    }

    /// Checks that the open connection stays usable, a new one is rejected, and the log has the cause.
    async fn observe(&self, fault: CertificateFault) -> Result<Option<String>> {
        let backend = processes(&self.admin, "true").await?;
        for _ in 0..3 {
            if let Some(wrong) = unexpected(&self.tested.request_page().await?, &[200]) {
                return Ok(Some(format!("on the open connection {wrong}")));
            }
        }
        if processes(&self.admin, "true").await? != backend {
            return Ok(Some("the open connection was replaced".to_owned()));
        }
        end_connections(&self.admin).await?;
        for _ in 0..2 {
            if let Some(wrong) = unexpected(&self.tested.request_page().await?, &[503]) {
                return Ok(Some(format!("on a new connection {wrong}")));
            }
        }
        let begin = Instant::now();
        while !self.tested.function.log().iter().any(|line| has_cause(line, fault.cause())) {
            if begin.elapsed() > PATIENCE {
                return Ok(Some(format!("no ERROR has the cause {:?}", fault.cause())));
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(None)
    }

    /// Installs a certificate for new connections.
    async fn install(&self, certificate: Certificate) -> Result<()> {
        let load_time = "SELECT pg_conf_load_time()::text";
        let loaded = |client: Client| async move {
            anyhow::Ok(client.query_typed_one(load_time, &[]).await?.get::<_, String>(0))
        };
        let before = loaded(self.tested.database.client().await?).await?;
        self.server.write("server.crt", &certificate.chain)?;
        self.server.write("server.key", &certificate.key)?;
        self.admin.batch_execute("SELECT pg_reload_conf()").await?;
        let begin = Instant::now();
        while loaded(database::connect(self.tested.database.admin_url()).await?).await? == before {
            ensure!(begin.elapsed() < PATIENCE, "PostgreSQL does not load its configuration");
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

/// Returns whether a line is an ERROR with this cause.
fn has_cause(line: &str, cause: &str) -> bool {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    line["level"] == "ERROR" && line["cause"].as_str().is_some_and(|text| text.contains(cause))
}
