//! The environment, read once.
//!
//! | variable | meaning | default |
//! | --- | --- | --- |
//! | `API_KEYS_SECRET_ID` | name or ARN of the secret with the key ring | required |
//! | `DATABASE_SECRET_ID` | name or ARN of the secret with the database's credentials, in the form that RDS makes, see [`Login::from_secret`] | this or `DATABASE_URL` |
//! | `DATABASE_URL` | `postgresql://user:password@host:port/database?sslmode=verify-full`, for local work, see [`Login::from_url`] | this or `DATABASE_SECRET_ID` |
//! | `DATABASE_AUTH` | `password`, or `iam`: a token that the function's role signs for each new connection | `password` |
//! | `DATABASE_CA_PEM` | certificates to verify the database with, in PEM; `sslrootcert` in the secret or the URL goes before it | Amazon's: RDS and RDS Proxy |
//! | `DATABASE_ALLOW_PLAINTEXT` | `true` lets `sslmode=disable` leave this machine | `false` |
//! | `LIMIT_MAX` | the largest `limit` that is served, 100 to 1000 | 100 |
//! | `QUERY_TIMEOUT_MS` | how long the query may take, 1 to 28000 | 5000 |
//! | `SECRET_MAX_AGE_SECONDS` | how old a secret may be before it is refreshed, 1 to 3600; a revoked key stops within it | 300 |
//! | `SECRET_MAX_STALE_SECONDS` | how old a secret may be while Secrets Manager is away, up to 604800 | 86400 |

mod variables;

use std::{fmt, sync::Arc, time::Duration};

use self::variables::Variables;
use crate::{
    database::{Login, Policy, Tls},
    secret::Lifetime,
};

/// What the environment says.
#[derive(Debug)]
pub struct Config {
    /// `API_KEYS_SECRET_ID`
    pub api_keys_secret_id: String,
    /// `DATABASE_SECRET_ID` or `DATABASE_URL`
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
    /// The secret with this name or ARN.
    Secret(String),
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
    match (variables.text("DATABASE_SECRET_ID"), variables.text("DATABASE_URL")) {
        (Some(id), None) => return DatabaseSource::Secret(id),
        (None, Some(url)) => match Login::from_url(&url, policy) {
            Ok(login) => return DatabaseSource::Url(Arc::new(login)),
            Err(fault) => variables.fault(format!("DATABASE_URL: {fault}")),
        },
        _ => variables.fault("exactly one of DATABASE_SECRET_ID and DATABASE_URL must be set".into()),
    }
    DatabaseSource::Secret(String::new())
}
