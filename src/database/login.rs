//! Where PostgreSQL is, who we are there, and whether the way is encrypted.

use std::{borrow::Cow, fmt, fs, time::Duration};

use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio_postgres::config::{ChannelBinding, Config, SslMode};

use super::{ADDRESS_TIMEOUT, Tls, TlsPolicy, policy::AuthMethod};
use crate::error::display_chain;

/// How PostgreSQL and what lies between see this function in their lists.
const APPLICATION_NAME: &str = "list-chat-sessions";

/// How long data may stay unacknowledged before the kernel gives the connection up.
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(5);

/// The server and database of a secret that does not name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressDefaults {
    /// `DATABASE_HOST`: a host name or an IP address.
    pub host: Option<String>,
    /// `DATABASE_PORT`
    pub port: Option<u16>,
    /// `DATABASE_NAME`
    pub name: Option<String>,
}

/// A server, a user and what shows that it is them.
pub struct ConnectionSettings {
    pub(super) config: Config,
    /// `None` for plain text.
    pub(super) tls: Option<Tls>,
}

impl ConnectionSettings {
    /// Reads `postgresql://user:password@host:port/database`, with `sslmode` and `sslrootcert` (a file) as libpq writes
    /// them: tokio-postgres knows neither `verify-full`, which is the default here, nor the file.
    ///
    /// # Errors
    ///
    /// What is wrong with the URL, in words that hold none of it.
    pub fn from_url(url: &str, policy: &TlsPolicy) -> Result<Self, String> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("it is not of the form postgresql://user:password@host:port/database".into());
        }
        // A `?` before the `@` is the password's.
        let host = url.find('@').unwrap_or_default();
        let (address, query) = url[host..].find('?').map_or((url, ""), |at| (&url[..host + at], &url[host + at + 1..]));
        let (mut ssl_mode, mut tls, mut rest) = (None, None, Vec::new());
        for parameter in query.split('&') {
            match parameter.split_once('=') {
                Some(("sslmode", mode)) => ssl_mode = Some(mode),
                Some(("sslrootcert", path)) => tls = Some(read_certificates(path)?),
                _ => rest.push(parameter),
            }
        }
        let config = format!("{address}?{}", rest.join("&")).parse().map_err(|error| fault(&error))?;
        Self::new(config, ssl_mode, tls, policy)
    }

    /// Reads a secret in one of the forms that RDS and Secrets Manager write: `username` and `password`, which is all of
    /// a [master secret that RDS manages][rds], and in most others `host`, `port` and `dbname`. `defaults` supply what of
    /// these three is missing, then 5432 and `postgres` do. The secret goes first, because a rotation or an attachment
    /// keeps it current. `sslmode`, `sslrootcert` (certificates in PEM) and `channel_binding` are optional; other fields
    /// are ignored.
    ///
    /// [rds]: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html
    ///
    /// # Errors
    ///
    /// What is wrong with the secret, in words that hold none of its content.
    pub fn from_secret(secret: &str, defaults: &AddressDefaults, policy: &TlsPolicy) -> Result<Self, String> {
        let secret: Value = serde_json::from_str(secret)
            .map_err(|error| format!("it is not JSON, at line {} column {}", error.line(), error.column()))?;
        let text = |name| secret.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let required = |name| text(name).ok_or_else(|| format!("it has no text \"{name}\""));
        let host = text("host").or(defaults.host.as_deref());
        let port = match secret.get("port") {
            None | Some(Value::Null) => Some(defaults.port.unwrap_or(5432)),
            Some(Value::String(port)) => port.parse().ok(),
            Some(port) => port.as_u64().and_then(|port| port.try_into().ok()),
        };
        let mut config = Config::new();
        config
            .user(required("username")?)
            .host(host.ok_or("it has no text \"host\"; add it or set DATABASE_HOST")?)
            .port(port.ok_or("\"port\" is not a port")?)
            .dbname(text("dbname").or(defaults.name.as_deref()).unwrap_or("postgres"))
            .channel_binding(match text("channel_binding") {
                None | Some("prefer") => ChannelBinding::Prefer,
                Some("require") => ChannelBinding::Require,
                Some("disable") => ChannelBinding::Disable,
                Some(_) => return Err("channel_binding must be require, prefer or disable".into()),
            });
        if policy.auth == AuthMethod::Password {
            config.password(required("password")?);
        }
        let tls = text("sslrootcert").map(Tls::from_pem).transpose();
        Self::new(config, text("sslmode"), tls.map_err(|fault| format!("sslrootcert: {fault}"))?, policy)
    }

    fn new(mut config: Config, ssl_mode: Option<&str>, tls: Option<Tls>, policy: &TlsPolicy) -> Result<Self, String> {
        let tls = policy.tls_for(&config, ssl_mode, tls)?;
        config
            .ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable })
            .application_name(APPLICATION_NAME)
            .connect_timeout(ADDRESS_TIMEOUT)
            .tcp_user_timeout(UNACKNOWLEDGED_TIMEOUT);
        Ok(Self { config, tls })
    }
}

/// What is wrong with a URL. tokio-postgres quotes an option that it does not know, and a `?` in a password makes one of
/// the password's rest.
fn fault(error: &tokio_postgres::Error) -> String {
    let fault = display_chain(error);
    match fault.split_once(" `") {
        Some((before, _)) if before.ends_with("unknown option") => before.to_owned(),
        _ => fault,
    }
}

/// The certificates in the file that a URL names: one that lies in the function's package or in a layer.
fn read_certificates(path: &str) -> Result<Tls, String> {
    let path: Cow<'_, str> = percent_decode_str(path).decode_utf8_lossy();
    let pem = fs::read_to_string(&*path).map_err(|error| format!("sslrootcert: {error}"))?;
    Tls::from_pem(&pem).map_err(|fault| format!("sslrootcert: {fault}"))
}

impl fmt::Debug for ConnectionSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionSettings").field("encrypted", &self.tls.is_some()).finish_non_exhaustive()
    }
}
