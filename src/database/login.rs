//! Where PostgreSQL is, who we are there, and whether the way is encrypted.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use serde_json::Value;
use tokio_postgres::config::{Config, Host, SslMode};

use super::CONNECT_LIMIT;
use crate::{error::Error, secret::Secret};

/// How PostgreSQL and what lies between see this function in their lists.
const APPLICATION_NAME: &str = "list-chat-sessions";

/// How long data may stay unacknowledged before the kernel gives the connection up.
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(5);

/// Where each new connection takes its login from.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in the process")]
pub enum Logins {
    /// `DATABASE_URL`: the same one always.
    Fixed(Arc<Login>),
    /// `DATABASE_SECRET_ID`: the current one.
    Secret(Secret<Login>),
}

impl Logins {
    /// The login for a new connection.
    ///
    /// # Errors
    ///
    /// As [`Secret::current`].
    pub async fn current(&self) -> Result<Arc<Login>, Error> {
        match self {
            Self::Fixed(login) => Ok(login.clone()),
            Self::Secret(secret) => secret.current().await,
        }
    }

    /// As [`Secret::is_stale`].
    #[must_use]
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Secret(secret) => secret.is_stale(),
        }
    }
}

/// A server, a user and a password.
pub struct Login {
    pub(super) config: Config,
    pub(super) encrypted: bool,
}

impl Login {
    /// Reads `postgresql://user:password@host:port/database`, with `sslmode` as libpq writes it: tokio-postgres does
    /// not know `verify-full`, which is the default here.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL, in words that hold none of it.
    pub fn from_url(url: &str, allow_plaintext: bool) -> Result<Self, String> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("it is not of the form postgresql://user:password@host:port/database".into());
        }
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let is_ssl_mode = |parameter: &&str| parameter.starts_with("sslmode=");
        let ssl_mode = query.split('&').find(is_ssl_mode).and_then(|parameter| parameter.strip_prefix("sslmode="));
        let rest: Vec<_> = query.split('&').filter(|parameter| !is_ssl_mode(parameter)).collect();
        let config = format!("{address}?{}", rest.join("&")).parse().map_err(|error| crate::error::chain(&error))?;
        Self::new(config, ssl_mode, allow_plaintext)
    }

    /// Reads a secret of the form that RDS makes: `username`, `password`, `host`, and `port` (5432) and `dbname`
    /// (`postgres`) if they are given. `sslmode` may stand beside them.
    ///
    /// # Errors
    ///
    /// What is wrong with the secret, in words that hold none of its content.
    pub fn from_secret(secret: &str, allow_plaintext: bool) -> Result<Self, String> {
        let secret: Value = serde_json::from_str(secret)
            .map_err(|error| format!("it is not JSON, at line {} column {}", error.line(), error.column()))?;
        let text = |name| secret.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let required = |name| text(name).ok_or_else(|| format!("it has no text \"{name}\""));
        let port = match secret.get("port") {
            None | Some(Value::Null) => Some(5432),
            Some(Value::String(port)) => port.parse().ok(),
            Some(port) => port.as_u64().and_then(|port| port.try_into().ok()),
        };
        let mut config = Config::new();
        config
            .user(required("username")?)
            .password(required("password")?)
            .host(required("host")?)
            .port(port.ok_or("\"port\" is not a port")?)
            .dbname(text("dbname").unwrap_or("postgres"));
        Self::new(config, text("sslmode"), allow_plaintext)
    }

    fn new(mut config: Config, ssl_mode: Option<&str>, allow_plaintext: bool) -> Result<Self, String> {
        let is_local = is_local(&config);
        let encrypted = match ssl_mode {
            None => !is_local,
            Some("verify-full" | "require") => true,
            Some("disable") if is_local || allow_plaintext => false,
            Some("disable") => {
                return Err("sslmode=disable is for loopback; set DATABASE_ALLOW_PLAINTEXT=true to mean it".into());
            }
            Some("prefer" | "allow") => {
                return Err("sslmode prefer and allow fall back to plain text when asked to; use verify-full".into());
            }
            Some("verify-ca") => {
                return Err("sslmode=verify-ca takes any host of the authority; use verify-full".into());
            }
            Some(_) => return Err("sslmode must be verify-full, require or disable".into()),
        };
        config
            .ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable })
            .application_name(APPLICATION_NAME)
            .connect_timeout(CONNECT_LIMIT)
            .tcp_user_timeout(UNACKNOWLEDGED_LIMIT);
        Ok(Self { config, encrypted })
    }
}

/// Whether every address that the connection may go to is on this machine.
fn is_local(config: &Config) -> bool {
    let hosts_are_local = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback()),
        Host::Unix(_) => true,
    });
    // An address given beside a host's name is where the connection goes, whatever the name says.
    hosts_are_local && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("encrypted", &self.encrypted).finish_non_exhaustive()
    }
}
