//! What the operator demands of every login, wherever it is read from.

use std::str::FromStr;

use tokio_postgres::config::{ChannelBinding, Config, Host};

use super::Tls;

/// What the operator demands of every login. A login can ask for more, never for less.
#[derive(Clone, Debug, Default)]
pub struct TlsPolicy {
    /// `DATABASE_ALLOW_PLAINTEXT`: whether `sslmode=disable` may leave this machine.
    pub allow_plaintext: bool,
    /// `DATABASE_CA_PEM`: what verifies the server of a login that brings no certificates of its own; Amazon's roots
    /// if there is none.
    pub tls: Option<Tls>,
    /// `DATABASE_AUTH`
    pub auth: AuthMethod,
}

/// What shows PostgreSQL who we are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthMethod {
    /// The login's password.
    #[default]
    Password,
    /// A token, see [`super::AuthTokenGenerator`].
    Iam,
}

impl FromStr for AuthMethod {
    type Err = ();

    fn from_str(auth: &str) -> Result<Self, ()> {
        match auth {
            "password" => Ok(Self::Password),
            "iam" => Ok(Self::Iam),
            _ => Err(()),
        }
    }
}

impl TlsPolicy {
    /// What encrypts the connections of a login, or `None` for plain text.
    ///
    /// `ssl_mode` is as libpq has it, and the default `verify-full`, except on this machine: there it is `disable`.
    /// `own` are the certificates that the login brings.
    ///
    /// # Errors
    ///
    /// What is wrong with the login, in words that hold none of it.
    pub fn tls_for(&self, config: &Config, ssl_mode: Option<&str>, own: Option<Tls>) -> Result<Option<Tls>, String> {
        let is_local = is_local(config);
        let is_encrypted = match ssl_mode {
            None => !is_local,
            Some("verify-full" | "require") => true,
            Some("disable") if is_local || self.allow_plaintext => false,
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
        let binds = config.get_channel_binding() == ChannelBinding::Require;
        match self.auth {
            _ if binds && !is_encrypted => Err("channel_binding=require needs TLS; use sslmode=verify-full".into()),
            AuthMethod::Iam if !is_encrypted => Err("DATABASE_AUTH=iam needs TLS; use sslmode=verify-full".into()),
            AuthMethod::Iam if binds => Err("a token cannot be bound to a channel; leave channel_binding away".into()),
            AuthMethod::Iam if !matches!(config.get_hosts(), [Host::Tcp(_)]) || config.get_user().is_none() => {
                Err("a token is for one user at one host; give both".into())
            }
            _ => Ok(is_encrypted.then(|| own.or_else(|| self.tls.clone()).unwrap_or_else(Tls::amazon))),
        }
    }
}

/// Whether every address that the connection may go to is on this machine.
fn is_local(config: &Config) -> bool {
    let hosts_are_local = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
        }
        Host::Unix(_) => true,
    });
    // An address given beside a host's name is where the connection goes, whatever the name says.
    hosts_are_local && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback)
}
