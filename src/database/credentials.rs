//! Server, user and credentials of a connection, and their source.

use std::{borrow::Cow, fmt, fs, sync::Arc};

use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio_postgres::config::{ChannelBinding, Config, SslMode};

use super::{ADDRESS_TIMEOUT, AuthMethod, REJECTED_CREDENTIALS_INTERVAL, Tls, TlsPolicy, UNACKNOWLEDGED_TIMEOUT};
use crate::{
    error::{Error, display_chain},
    secret::{Client, Lifetime, Secret},
};

/// The name of this function in `pg_stat_activity` and in a pooler's lists.
const APPLICATION_NAME: &str = "list-chat-sessions";

/// The server and the database for a secret that does not name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressDefaults {
    /// `DATABASE_HOST`: a host name or an IP address.
    pub host: Option<String>,
    /// `DATABASE_PORT`
    pub port: Option<u16>,
    /// `DATABASE_NAME`
    pub name: Option<String>,
}

/// Server, user and credentials.
pub struct ConnectionSettings {
    pub(super) config: Config,
    /// `None` for plain text.
    pub(super) tls: Option<Tls>,
}

impl ConnectionSettings {
    /// Reads `postgresql://user:password@host:port/database`, with libpq's `sslmode` and `sslrootcert` (a
    /// file). tokio-postgres supports neither `verify-full`, which is the default here, nor the file.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong with the URL, without quoting it.
    pub fn from_url(url: &str, policy: &TlsPolicy) -> Result<Self, String> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("it is not of the form postgresql://user:password@host:port/database".into());
        }
        // A `?` before the `@` belongs to the password.
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
        let config = format!("{address}?{}", rest.join("&")).parse().map_err(|error| url_error(&error))?;
        Self::new(config, ssl_mode, tls, policy)
    }

    /// Reads a secret in one of the forms that RDS and Secrets Manager write: `username` and `password`, which is all of
    /// a [master secret that RDS manages][rds], and in most others `host`, `port` and `dbname`. If one of these three is
    /// missing, `defaults` apply, and then 5432 and `postgres`. The secret takes precedence, because a rotation or an
    /// attachment keeps it current. `sslmode`, `sslrootcert` (certificates in PEM) and `channel_binding` are optional;
    /// other fields are ignored.
    ///
    /// [rds]: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html
    ///
    /// # Errors
    ///
    /// A text that says what is wrong with the secret, without quoting it.
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
        Self::new(config, text("sslmode"), tls.map_err(|error| format!("sslrootcert: {error}"))?, policy)
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

/// The error text for a URL, without the name of an unknown option. tokio-postgres quotes it, and after a `?` in a password
/// it is the rest of the password.
fn url_error(error: &tokio_postgres::Error) -> String {
    let text = display_chain(error);
    match text.split_once(" `") {
        Some((before, _)) if before.ends_with("unknown option") => before.to_owned(),
        _ => text,
    }
}

/// Reads the certificates in the file that a URL names, which is in the function's package or in a layer.
fn read_certificates(path: &str) -> Result<Tls, String> {
    let path: Cow<'_, str> = percent_decode_str(path).decode_utf8_lossy();
    let pem = fs::read_to_string(&*path).map_err(|error| format!("sslrootcert: {error}"))?;
    Tls::from_pem(&pem).map_err(|error| format!("sslrootcert: {error}"))
}

impl fmt::Debug for ConnectionSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionSettings").field("encrypted", &self.tls.is_some()).finish_non_exhaustive()
    }
}

/// The label of the version that a rotation is about to make current.
const PENDING: &str = "AWSPENDING";

/// The source of each new connection's settings.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in the process")]
pub enum SettingsSource {
    /// `DATABASE_URL`: always the same settings.
    Fixed(Arc<ConnectionSettings>),
    /// `DATABASE_SECRET_ID`
    Secret {
        /// The version that is current.
        current: Secret<ConnectionSettings>,
        /// The version that a rotation is about to make current.
        pending: Secret<ConnectionSettings>,
    },
}

impl SettingsSource {
    /// Reads the secret with this name or ARN. Nothing is fetched yet. `parse` is as for [`Secret::new`].
    pub fn from_secret(
        client: Client,
        id: String,
        lifetime: Lifetime,
        parse: impl Fn(&str) -> Result<ConnectionSettings, String> + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::Secret {
            pending: Secret::new(client.clone(), id.clone(), lifetime, parse.clone()).with_label(PENDING),
            current: Secret::new(client, id, lifetime, parse),
        }
    }

    /// The settings of a new connection.
    ///
    /// # Errors
    ///
    /// As [`Secret::current`].
    pub async fn current(&self) -> Result<Arc<ConnectionSettings>, Error> {
        match self {
            Self::Fixed(settings) => Ok(settings.clone()),
            Self::Secret { current, .. } => current.current().await,
        }
    }

    /// Settings other than those whose credentials PostgreSQL rejected, if there are any: the current version of the
    /// secret, or else the one that a rotation is about to make current. A [rotation of a single user][single] changes the
    /// password in PostgreSQL seconds before it makes it current, or much longer if it is interrupted in between.
    ///
    /// [single]: https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotation-strategy.html
    ///
    /// # Errors
    ///
    /// As [`Secret::newest`].
    pub async fn refreshed_after_rejection(
        &self,
        rejected: &ConnectionSettings,
    ) -> Result<Option<Arc<ConnectionSettings>>, Error> {
        match self {
            Self::Fixed(_) => Ok(None),
            Self::Secret { current, pending } => {
                let differs = |settings: &Arc<ConnectionSettings>| settings.config != rejected.config;
                let newest = Some(current.newest(REJECTED_CREDENTIALS_INTERVAL).await?).filter(differs);
                if newest.is_some() {
                    return Ok(newest);
                }
                // Usually there is no such version, and PostgreSQL's error says more than its absence.
                Ok(pending.newest(REJECTED_CREDENTIALS_INTERVAL).await.ok().filter(differs))
            }
        }
    }

    /// As [`Secret::is_stale`].
    #[must_use]
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Secret { current, .. } => current.is_stale(),
        }
    }
}
