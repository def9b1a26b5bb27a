//! The environment, read once.
//!
//! | variable | meaning | default |
//! | --- | --- | --- |
//! | `API_KEYS_SECRET_ID` | name or ARN of the secret with the key ring | required |
//! | `DATABASE_SECRET_ID` | name or ARN of the secret with the database credentials, see [`Login::from_secret`] | this or `DATABASE_URL` |
//! | `DATABASE_HOST` | host name or IP address of the database, if the secret has no `host` | none |
//! | `DATABASE_PORT` | port of the database, 1 to 65535, if the secret has no `port` | 5432 |
//! | `DATABASE_NAME` | name of the database, if the secret has no `dbname` | `postgres` |
//! | `DATABASE_URL` | `postgresql://user:password@host:port/database?sslmode=verify-full`, for local work, see [`Login::from_url`] | this or `DATABASE_SECRET_ID` |
//! | `DATABASE_AUTH` | `password`, or `iam`: the function signs an IAM token for each new connection | `password` |
//! | `DATABASE_CA_PEM` | certificates (PEM) that verify the database; `sslrootcert` in the secret or the URL takes precedence | Amazon's: RDS and RDS Proxy |
//! | `DATABASE_ALLOW_PLAINTEXT` | `true` allows unencrypted connections (`sslmode=disable`) to other hosts | `false` |
//! | `LIMIT_MAX` | largest `limit` that is served, 100 to 1000 | 100 |
//! | `QUERY_TIMEOUT_MS` | time-out of the query in milliseconds, 1 to 28000 | 5000 |
//! | `SECRET_MAX_AGE_SECONDS` | age at which a secret is refreshed, 1 to 3600; a revoked key stops working within it | 300 |
//! | `SECRET_MAX_STALE_SECONDS` | age up to which a secret is used while it cannot be refreshed, up to 604800 | 86400 |

mod variables;

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use self::variables::Variables;
use crate::{
    database::{AddressDefaults, Login, Policy, Tls},
    secret::Lifetime,
};

/// The longest name of a database, in bytes: [PostgreSQL's `NAMEDATALEN`][limits] less one.
///
/// [limits]: https://www.postgresql.org/docs/current/limits.html
const MAX_NAME_BYTES: usize = 63;

/// What the environment says.
#[derive(Debug)]
pub struct Config {
    /// `API_KEYS_SECRET_ID`
    pub api_keys_secret_id: String,
    /// `DATABASE_SECRET_ID` with `DATABASE_HOST`, `DATABASE_PORT` and `DATABASE_NAME`, or `DATABASE_URL`
    pub database: DatabaseSource,
    /// `DATABASE_ALLOW_PLAINTEXT`, `DATABASE_AUTH` and `DATABASE_CA_PEM`
    pub database_policy: Policy,
    /// `LIMIT_MAX`
    pub limit_max: i64,
    /// `QUERY_TIMEOUT_MS`
    pub query_limit: Duration,
    /// `SECRET_MAX_AGE_SECONDS` and `SECRET_MAX_STALE_SECONDS`
    pub secret_lifetime: Lifetime,
}

/// Where the database's credentials come from.
#[derive(Debug)]
pub enum DatabaseSource {
    /// A secret.
    Secret {
        /// Its name or ARN.
        id: String,
        /// `DATABASE_HOST`, `DATABASE_PORT` and `DATABASE_NAME`, for what the secret lacks.
        defaults: AddressDefaults,
    },
    /// A URL.
    Url(Arc<Login>),
}

/// Everything that is wrong with the environment.
#[derive(Debug)]
pub struct Faults(Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for Faults {}

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    ///
    /// Every variable that is missing or wrong, and what it must be. Values are not quoted.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn from_env() -> Result<Self, Faults> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// Reads variables; an empty one counts as not set.
    ///
    /// # Errors
    ///
    /// As [`Config::from_env`].
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut variables = Variables { variable, faults: Vec::new() };
        let database_policy = database_policy(&mut variables);
        let soft = variables.number("SECRET_MAX_AGE_SECONDS", 1..=3_600, 300);
        let config = Self {
            api_keys_secret_id: variables.text("API_KEYS_SECRET_ID").unwrap_or_else(|| {
                variables.fault("API_KEYS_SECRET_ID must name the secret with the key ring".into());
                String::new()
            }),
            database: database(&mut variables, &database_policy),
            database_policy,
            limit_max: variables.number("LIMIT_MAX", 100..=1_000, 100),
            query_limit: Duration::from_millis(variables.number("QUERY_TIMEOUT_MS", 1..=28_000, 5_000)),
            secret_lifetime: Lifetime {
                soft: Duration::from_secs(soft),
                hard: Duration::from_secs(variables.number("SECRET_MAX_STALE_SECONDS", soft..=604_800, 86_400)),
            },
        };
        if variables.faults.is_empty() { Ok(config) } else { Err(Faults(variables.faults)) }
    }
}

fn database_policy(variables: &mut Variables<impl Fn(&str) -> Option<String>>) -> Policy {
    let tls = variables.text("DATABASE_CA_PEM").map(|pem| Tls::from_pem(&pem)).transpose();
    Policy {
        allow_plaintext: variables.parsed("DATABASE_ALLOW_PLAINTEXT", "true or false").unwrap_or_default(),
        auth: variables.parsed("DATABASE_AUTH", "password or iam").unwrap_or_default(),
        tls: tls.unwrap_or_else(|fault| {
            variables.fault(format!("DATABASE_CA_PEM: {fault}"));
            None
        }),
    }
}

fn database(variables: &mut Variables<impl Fn(&str) -> Option<String>>, policy: &Policy) -> DatabaseSource {
    let defaults = address_defaults(variables);
    match (variables.text("DATABASE_SECRET_ID"), variables.text("DATABASE_URL")) {
        (Some(id), None) => return DatabaseSource::Secret { id, defaults },
        (None, Some(url)) => {
            // Ignored, they would look as if they had moved the database.
            for name in ["DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME"] {
                if variables.text(name).is_some() {
                    variables.fault(format!("{name} is for DATABASE_SECRET_ID; put it into DATABASE_URL or unset it"));
                }
            }
            match Login::from_url(&url, policy) {
                Ok(login) => return DatabaseSource::Url(Arc::new(login)),
                Err(fault) => variables.fault(format!("DATABASE_URL: {fault}")),
            }
        }
        _ => variables.fault("exactly one of DATABASE_SECRET_ID and DATABASE_URL must be set".into()),
    }
    DatabaseSource::Secret { id: String::new(), defaults: AddressDefaults::default() }
}

fn address_defaults(variables: &mut Variables<impl Fn(&str) -> Option<String>>) -> AddressDefaults {
    let host = variables.text("DATABASE_HOST");
    if !host.as_deref().is_none_or(is_host) {
        variables.fault("DATABASE_HOST must be a host name or an IP address, without a port".into());
    }
    let name = variables.text("DATABASE_NAME");
    // PostgreSQL cuts longer names off: it would connect to another database than the one that is meant.
    if name.as_ref().is_some_and(|name| name.len() > MAX_NAME_BYTES) {
        variables.fault(format!("DATABASE_NAME must have at most {MAX_NAME_BYTES} bytes"));
    }
    let port = variables.text("DATABASE_PORT").map(|_| variables.number("DATABASE_PORT", 1..=u16::MAX, 5432));
    AddressDefaults { host, port, name }
}

/// Whether a resolver can take the text: a host name's characters, or an address.
fn is_host(text: &str) -> bool {
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    is_name(text) || text.parse::<IpAddr>().is_ok()
}
