//! The environment, read once.
//!
//! | variable | meaning | default |
//! | --- | --- | --- |
//! | `API_KEYS_SECRET_ID` | name or ARN of the secret with the key ring; `{shard}` in it is replaced by the first hex digits of a token's hash | required |
//! | `API_KEYS_SHARDS` | number of secrets among which `{shard}` in `API_KEYS_SECRET_ID` divides the keys, 16 or 256 | 256 |
//! | `API_KEYS_MAX_AGE_SECONDS` | age at which the key ring is refreshed, 1 to 3600; a revoked key stops working within it | `SECRET_MAX_AGE_SECONDS` |
//! | `JWT_SECRET_ID` | name or ARN of the secret that verifies session tokens (HS256): `{"jwt_secret": "…"}` | none: session tokens are not accepted |
//! | `JWKS_URL` | URL of the public keys that verify session tokens (RS256, ES256), instead of `JWT_SECRET_ID` | none |
//! | `JWT_ISSUER` | the `iss` of session tokens | required with either |
//! | `JWT_AUDIENCE` | the `aud` of session tokens | `authenticated` |
//! | `DATABASE_SECRET_ID` | name or ARN of the secret with the database credentials, see [`ConnectionSettings::from_secret`] | this or `DATABASE_URL` |
//! | `DATABASE_HOST` | host name or IP address of the database, if the secret has no `host` | none |
//! | `DATABASE_PORT` | port of the database, 1 to 65535, if the secret has no `port` | 5432 |
//! | `DATABASE_NAME` | name of the database, if the secret has no `dbname` | `postgres` |
//! | `DATABASE_URL` | `postgresql://user:password@host:port/database?sslmode=verify-full`, for local work, see [`ConnectionSettings::from_url`] | this or `DATABASE_SECRET_ID` |
//! | `DATABASE_AUTH` | `password`, or `iam`: the function signs an IAM token for each new connection | `password` |
//! | `DATABASE_CA_PEM` | certificates (PEM) that verify the database; `sslrootcert` in the secret or the URL takes precedence | Amazon's: RDS and RDS Proxy |
//! | `DATABASE_ALLOW_PLAINTEXT` | `true` allows unencrypted connections (`sslmode=disable`) to other hosts | `false` |
//! | `DATABASE_POOL_SIZE` | most connections of one environment, 1 to 64 | `AWS_LAMBDA_MAX_CONCURRENCY`, at most 16 |
//! | `AWS_LAMBDA_MAX_CONCURRENCY` | events at a time, 1 to 1600; Lambda Managed Instances set it | 1 |
//! | `DATABASE_STATEMENTS` | `auto`: named statements on direct connections; `named`: also where a pooler gives each connection its own session; `unnamed` | `auto` |
//! | `LIMIT_MAX` | largest `limit` that is served, 100 to 1000 | 100 |
//! | `QUERY_TIMEOUT_MS` | time-out of the query in milliseconds, 1 to 28000 | 5000 |
//! | `SECRET_MAX_AGE_SECONDS` | age at which a secret is refreshed, 1 to 3600 | 300 |
//! | `SECRET_MAX_STALE_SECONDS` | age up to which a secret is used while it cannot be refreshed, up to 604800 | 86400 |

use std::{fmt, net::IpAddr, ops::RangeInclusive, str::FromStr, sync::Arc, time::Duration};

use crate::{
    api_keys::{SHARDS, ShardedId},
    auth::SessionTokenRules,
    database::{AddressDefaults, ConnectionSettings, StatementNames, Tls, TlsPolicy},
    secret::Lifetime,
    session_tokens::KeySource,
};

/// The largest default of `DATABASE_POOL_SIZE`: a query takes some milliseconds, so that many connections keep some
/// processors of PostgreSQL busy.
const DEFAULT_POOL_SIZE_MAX: usize = 16;

/// The longest name of a database, in bytes. PostgreSQL truncates longer ones, and the function would connect to a
/// different database. <https://www.postgresql.org/docs/current/limits.html>
const MAX_NAME_BYTES: usize = 63;

/// The `aud` of a user who has signed in to Supabase Auth, <https://supabase.com/docs/guides/auth/jwt-fields>.
const DEFAULT_AUDIENCE: &str = "authenticated";

const SHARDS_RULE: &str = "16 or 256";

/// The function's configuration.
#[derive(Debug)]
pub struct Config {
    /// `API_KEYS_SECRET_ID` and `API_KEYS_SHARDS`
    pub api_keys_secret_id: ShardedId,
    /// `API_KEYS_MAX_AGE_SECONDS`; that of `secret_lifetime` if `None`
    pub api_keys_max_age: Option<Duration>,
    /// `JWT_SECRET_ID` or `JWKS_URL`, with `JWT_ISSUER` and `JWT_AUDIENCE`
    pub session_tokens: Option<(KeySource, SessionTokenRules)>,
    /// `DATABASE_SECRET_ID` with `DATABASE_HOST`, `DATABASE_PORT` and `DATABASE_NAME`, or `DATABASE_URL`
    pub database: DatabaseSource,
    /// `DATABASE_ALLOW_PLAINTEXT`, `DATABASE_AUTH` and `DATABASE_CA_PEM`
    pub database_policy: TlsPolicy,
    /// `DATABASE_POOL_SIZE`
    pub pool_size: usize,
    /// `AWS_LAMBDA_MAX_CONCURRENCY`
    pub concurrency: usize,
    /// `DATABASE_STATEMENTS`
    pub database_statements: StatementNames,
    /// `LIMIT_MAX`
    pub limit_max: i64,
    /// `QUERY_TIMEOUT_MS`
    pub query_timeout: Duration,
    /// `SECRET_MAX_AGE_SECONDS` and `SECRET_MAX_STALE_SECONDS`
    pub secret_lifetime: Lifetime,
}

/// The source of the database's address and credentials.
#[derive(Debug)]
pub enum DatabaseSource {
    /// A secret.
    Secret {
        /// Its name or ARN.
        id: String,
        /// `DATABASE_HOST`, `DATABASE_PORT` and `DATABASE_NAME`, for fields that the secret lacks.
        defaults: AddressDefaults,
    },
    /// A URL.
    Url(Arc<ConnectionSettings>),
}

/// The rules of all variables that are missing or invalid, so that an operator can fix them in one pass.
#[derive(Debug)]
pub struct Violations(Vec<String>);

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for Violations {}

impl Config {
    /// Reads the process's environment.
    ///
    /// # Errors
    ///
    /// Every variable that is missing or invalid, with its rule. Values are not quoted.
    #[expect(clippy::disallowed_methods, reason = "this is the only place that reads variables")]
    pub fn from_env() -> Result<Self, Violations> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// Reads variables; an empty one counts as not set.
    ///
    /// # Errors
    ///
    /// As [`Config::from_env`].
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Violations> {
        let mut variables = Variables { variable, violations: Vec::new() };
        let database_policy = database_policy(&mut variables);
        let max_age = variables.number("SECRET_MAX_AGE_SECONDS", 1..=3_600, 300);
        let concurrency = variables.number("AWS_LAMBDA_MAX_CONCURRENCY", 1..=1_600, 1);
        let api_keys_max_age = variables.number("API_KEYS_MAX_AGE_SECONDS", 1..=3_600, max_age);
        let min_stale = max_age.max(api_keys_max_age);
        let config = Self {
            api_keys_secret_id: api_keys_secret_id(&mut variables),
            api_keys_max_age: Some(Duration::from_secs(api_keys_max_age)),
            session_tokens: session_tokens(&mut variables),
            database: database(&mut variables, &database_policy),
            database_policy,
            pool_size: variables.number("DATABASE_POOL_SIZE", 1..=64, concurrency.min(DEFAULT_POOL_SIZE_MAX)),
            concurrency,
            database_statements: variables.parsed("DATABASE_STATEMENTS", "auto, named or unnamed").unwrap_or_default(),
            limit_max: variables.number("LIMIT_MAX", 100..=1_000, 100),
            query_timeout: Duration::from_millis(variables.number("QUERY_TIMEOUT_MS", 1..=28_000, 5_000)),
            secret_lifetime: Lifetime {
                max_age: Duration::from_secs(max_age),
                max_stale: Duration::from_secs(variables.number(
                    "SECRET_MAX_STALE_SECONDS",
                    min_stale..=604_800,
                    86_400,
                )),
            },
        };
        if variables.violations.is_empty() { Ok(config) } else { Err(Violations(variables.violations)) }
    }
}

fn api_keys_secret_id(variables: &mut Variables<impl Fn(&str) -> Option<String>>) -> ShardedId {
    let shards = variables.parsed("API_KEYS_SHARDS", SHARDS_RULE);
    if shards.is_some_and(|shards| !SHARDS.contains(&shards)) {
        variables.violations.push(format!("API_KEYS_SHARDS must be {SHARDS_RULE}"));
    }
    let rule = match variables.text("API_KEYS_SECRET_ID") {
        Some(id) => match ShardedId::new(&id, shards) {
            Ok(id) => return id,
            Err(rule) => rule,
        },
        None => "must name the secret with the key ring",
    };
    variables.violations.push(format!("API_KEYS_SECRET_ID {rule}"));
    ShardedId::default()
}

fn session_tokens(
    variables: &mut Variables<impl Fn(&str) -> Option<String>>,
) -> Option<(KeySource, SessionTokenRules)> {
    let (issuer, audience) = (variables.text("JWT_ISSUER"), variables.text("JWT_AUDIENCE"));
    let url = variables.parsed("JWKS_URL", "an https:// URL without a user (http:// only for loopback)");
    let source = match (variables.text("JWT_SECRET_ID"), variables.text("JWKS_URL")) {
        (Some(_), Some(_)) => {
            variables.violations.push("JWT_SECRET_ID and JWKS_URL are alternatives: unset one of them".into());
            return None;
        }
        (Some(id), None) => Some(KeySource::Secret(id)),
        (None, Some(_)) => url.map(KeySource::Jwks),
        (None, None) => {
            for (name, value) in [("JWT_ISSUER", issuer), ("JWT_AUDIENCE", audience)] {
                if value.is_some() {
                    variables
                        .violations
                        .push(format!("{name} needs JWT_SECRET_ID or JWKS_URL: set one or unset {name}"));
                }
            }
            return None;
        }
    };
    let Some(issuer) = issuer else {
        variables.violations.push("JWT_ISSUER must be the iss of the session tokens to accept".into());
        return None;
    };
    let audience = audience.unwrap_or_else(|| DEFAULT_AUDIENCE.into());
    source.map(|source| (source, SessionTokenRules { issuer, audience }))
}

fn database_policy(variables: &mut Variables<impl Fn(&str) -> Option<String>>) -> TlsPolicy {
    let tls = variables.text("DATABASE_CA_PEM").map(|pem| Tls::from_pem(&pem)).transpose();
    TlsPolicy {
        allow_plaintext: variables.parsed("DATABASE_ALLOW_PLAINTEXT", "true or false").unwrap_or_default(),
        auth: variables.parsed("DATABASE_AUTH", "password or iam").unwrap_or_default(),
        tls: tls.unwrap_or_else(|error| {
            variables.violations.push(format!("DATABASE_CA_PEM: {error}"));
            None
        }),
    }
}

fn database(variables: &mut Variables<impl Fn(&str) -> Option<String>>, policy: &TlsPolicy) -> DatabaseSource {
    let defaults = address_defaults(variables);
    match (variables.text("DATABASE_SECRET_ID"), variables.text("DATABASE_URL")) {
        (Some(id), None) => return DatabaseSource::Secret { id, defaults },
        (None, Some(url)) => {
            // Ignoring them would suggest that they have an effect.
            for name in ["DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME"] {
                if variables.text(name).is_some() {
                    variables
                        .violations
                        .push(format!("{name} is for DATABASE_SECRET_ID; put it into DATABASE_URL or unset it"));
                }
            }
            match ConnectionSettings::from_url(&url, policy) {
                Ok(settings) => return DatabaseSource::Url(Arc::new(settings)),
                Err(error) => variables.violations.push(format!("DATABASE_URL: {error}")),
            }
        }
        _ => variables.violations.push("exactly one of DATABASE_SECRET_ID and DATABASE_URL must be set".into()),
    }
    DatabaseSource::Secret { id: String::new(), defaults: AddressDefaults::default() }
}

fn address_defaults(variables: &mut Variables<impl Fn(&str) -> Option<String>>) -> AddressDefaults {
    let host = variables.text("DATABASE_HOST");
    if !host.as_deref().is_none_or(is_host) {
        variables.violations.push("DATABASE_HOST must be a host name or an IP address, without a port".into());
    }
    let name = variables.text("DATABASE_NAME");
    if name.as_ref().is_some_and(|name| name.len() > MAX_NAME_BYTES) {
        variables.violations.push(format!("DATABASE_NAME must have at most {MAX_NAME_BYTES} bytes"));
    }
    let port = variables.text("DATABASE_PORT").map(|_| variables.number("DATABASE_PORT", 1..=u16::MAX, 5432));
    AddressDefaults { host, port, name }
}

/// Whether the text is an IP address or has only characters of host names.
fn is_host(text: &str) -> bool {
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    is_name(text) || text.parse::<IpAddr>().is_ok()
}

/// The variables, and the rules that they break. Values are never quoted.
struct Variables<F> {
    /// A variable's value by its name.
    variable: F,
    violations: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    fn parsed<T: FromStr>(&mut self, name: &str, rule: &str) -> Option<T> {
        let value = self.text(name)?.trim().parse().ok();
        if value.is_none() {
            self.violations.push(format!("{name} must be {rule}"));
        }
        value
    }

    fn number<T: FromStr + PartialOrd + fmt::Display>(
        &mut self,
        name: &str,
        range: RangeInclusive<T>,
        default: T,
    ) -> T {
        let rule = format!("a whole number from {} to {}", range.start(), range.end());
        match self.parsed(name, &rule) {
            Some(number) if range.contains(&number) => number,
            Some(_) => {
                self.violations.push(format!("{name} must be {rule}"));
                default
            }
            None => default,
        }
    }
}
