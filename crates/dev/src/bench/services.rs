//! The services that the candidates use: PostgreSQL with TLS and SCRAM, and the stand-in for Secrets Manager.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use list_chat_sessions::auth::KeyRing;
use serde_json::json;
use testkit::{Authority, Secrets, Server, ServerOptions, certificates::NOW, faults::accounts, keys, role};
use tokio_postgres::Client;
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::data::{self, MATERIALIZED, PLAIN, Sizes};
use crate::{measure::count, steps::Steps};

/// Settings that the report lists: autovacuum would disturb some candidates more than others; the rest is as in
/// production.
pub const SETTINGS: [&str; 8] = [
    "ssl=on",
    "fsync=on",
    "full_page_writes=on",
    "shared_buffers=2GB",
    "max_wal_size=16GB",
    "checkpoint_timeout=1h",
    "autovacuum=off",
    "timezone=UTC",
];

const TICK: Duration = Duration::from_millis(100);

const HOST: &str = "127.0.0.1";
const KEYS: &str = "bench/api-keys";

pub struct BenchServices {
    pub server: Server,
    pub sizes: Sizes,
    secrets: Secrets,
    /// In PEM.
    authority: String,
    password: String,
}

impl BenchServices {
    /// Starts everything and loads missing rows.
    pub async fn start(scale: f64) -> Result<Self> {
        let begin = Instant::now();
        let authority = Authority::new()?;
        // For an address, Node verifies the name localhost.
        let certificate = authority.certify(&[HOST, "localhost"], NOW)?;
        let sizes = Sizes::scaled(scale);
        let mut options = ServerOptions::with_tls(certificate);
        options.settings = SETTINGS.map(ToOwned::to_owned).to_vec();
        options.kept = Some(format!("bench-{}", sizes.large));
        let server = tokio::task::spawn_blocking(|| Server::start_with(options)).await??;
        Steps::Error.done(
            begin,
            "postgres",
            &format!("on port {}, data in {}", server.port(), server.folder().display()),
        );

        let waiting = ProgressBar::new_spinner();
        waiting.enable_steady_tick(TICK);
        let loaded = |fresh| if fresh { "loaded" } else { "from an earlier run" };
        let begin = Instant::now();
        waiting.set_message(format!("loading accounts of up to {} sessions", count(sizes.large)));
        let fresh = data::load(&server, PLAIN, sizes).await?;
        waiting.suspend(|| Steps::Error.done(begin, "rows", loaded(fresh)));
        let begin = Instant::now();
        waiting.set_message("loading the same with materialized counts");
        let fresh = data::load_materialized(&server, PLAIN, MATERIALIZED, sizes).await?;
        waiting.finish_and_clear();
        Steps::Error.done(begin, "counts", loaded(fresh));

        let password = keys::hex(&fastrand::u128(..).to_be_bytes());
        let secrets = Secrets::start().await?;
        secrets.put(KEYS, accounts::ring(data::SMALL..=data::LARGE)?)?;
        let services = Self { server, sizes, secrets, authority: authority.pem(), password };
        services.admit(PLAIN).await?;
        services.admit(MATERIALIZED).await?;
        Ok(services)
    }

    /// Grants the function's role a database and stores its credentials as a secret.
    async fn admit(&self, database: &str) -> Result<()> {
        data::grant(&self.server, database, &self.password).await?;
        self.secrets.put(database, self.login(database, self.server.port()))?;
        Ok(())
    }

    fn login(&self, database: &str, port: u16) -> String {
        json!({
            "engine": "postgres", "host": HOST, "port": port, "dbname": database, "username": role::NAME,
            "password": self.password, "sslmode": "verify-full", "sslrootcert": self.authority,
        })
        .to_string()
    }

    /// Stores the credentials for a relay on this port as another secret, and returns its name.
    pub fn store_login(&self, database: &str, port: u16) -> Result<String> {
        let name = format!("{database}-{port}");
        self.secrets.put(&name, self.login(database, port))?;
        Ok(name)
    }

    /// Returns how many connections the function's role has.
    pub async fn connections(&self) -> Result<f64> {
        let client = testkit::database::connect(&self.server.url("postgres")).await?;
        let count = "SELECT count(*)::float8 FROM pg_stat_activity WHERE usename = $1";
        let rows = client.query_typed(count, &[(&role::NAME, tokio_postgres::types::Type::NAME)]).await?;
        Ok(rows[0].get(0))
    }

    /// The variables of a function that reads this database, or the secret of a relay.
    pub fn variables(&self, database: &str) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets.url()),
            ("API_KEYS_SECRET_ID", KEYS),
            ("DATABASE_SECRET_ID", database),
            // Long enough for every statement that is measured.
            ("QUERY_TIMEOUT_MS", "28000"),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// Connects as the function does: with the same role, TLS and SCRAM.
    pub async fn connect(&self, database: &str) -> Result<Client> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes())?)?;
        let tls = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut config = tokio_postgres::Config::new();
        config.host(HOST).port(self.server.port()).dbname(database).user(role::NAME).password(&self.password);
        config.ssl_mode(tokio_postgres::config::SslMode::Require);
        let (client, connection) = config.connect(MakeRustlsConnect::new(tls)).await?;
        tokio::spawn(connection);
        // The role's own timeout would cancel the slowest.
        client.batch_execute("SET statement_timeout = 0").await?;
        Ok(client)
    }
}

pub fn key_ring() -> Result<KeyRing> {
    KeyRing::parse(&accounts::ring(data::SMALL..=data::LARGE)?).ok().context("the key ring is invalid")
}
