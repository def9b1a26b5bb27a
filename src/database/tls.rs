//! TLS to PostgreSQL, which always verifies both the certificate chain and the host name, and when to use it.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, LazyLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_postgres::config::{ChannelBinding, Config, Host};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::aws::AMAZON_ROOTS;

/// The roots of RDS instances and Aurora clusters: those of the following bundle that have not expired.
/// <https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem>.
const RDS_ROOTS: &str = include_str!("../roots/rds.pem");

// Parsed for the first connection that needs them: they are about a hundred.
static AMAZON: LazyLock<Tls> =
    LazyLock::new(|| Tls::from_bundles(&[RDS_ROOTS, AMAZON_ROOTS]).expect("a test reads the embedded certificates"));

/// A TLS connector that verifies servers with certain roots.
#[derive(Clone)]
pub struct Tls(MakeRustlsConnect);

impl Tls {
    /// Verifies with Amazon's roots.
    #[must_use]
    pub fn amazon() -> Self {
        AMAZON.clone()
    }

    /// Verifies with the operator's own certificates, in PEM.
    ///
    /// # Errors
    ///
    /// If there is no certificate, or an invalid one.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        Self::from_bundles(&[pem])
    }

    fn from_bundles(bundles: &[&str]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in bundles.iter().flat_map(|pem| CertificateDer::pem_slice_iter(pem.as_bytes())) {
            // The parser's own message quotes the invalid line.
            let certificate = certificate.map_err(|_| "it is not PEM")?;
            roots.add(certificate).map_err(|_| "it contains an invalid certificate")?;
        }
        if roots.is_empty() {
            return Err("it contains no certificate in PEM".into());
        }
        // The process may have another default provider, or none.
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(MakeRustlsConnect::new(config)))
    }

    pub(super) fn connector(&self) -> MakeRustlsConnect {
        self.0.clone()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(…)")
    }
}

/// The operator's minimum for every connection, whose settings can require more but never less.
#[derive(Clone, Debug, Default)]
pub struct TlsPolicy {
    /// `DATABASE_ALLOW_PLAINTEXT`: allows unencrypted connections to other hosts, with `sslmode=disable`.
    pub allow_plaintext: bool,
    /// `DATABASE_CA_PEM`: the roots for settings without certificates; Amazon's if it is not set.
    pub tls: Option<Tls>,
    /// `DATABASE_AUTH`
    pub auth: AuthMethod,
}

/// How the function authenticates with PostgreSQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthMethod {
    /// With the settings' password.
    #[default]
    Password,
    /// With a token, see [`super::AuthTokenGenerator`].
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
    /// The TLS of connections with these settings; `None` for unencrypted ones.
    ///
    /// `ssl_mode` is libpq's; the default is `verify-full`, or `disable` on this machine. `own` are the settings'
    /// certificates.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong with the settings, without quoting them.
    pub fn tls_for(&self, config: &Config, ssl_mode: Option<&str>, own: Option<Tls>) -> Result<Option<Tls>, String> {
        let is_local = is_local(config);
        let is_encrypted = match ssl_mode {
            None => !is_local,
            Some("verify-full" | "require") => true,
            Some("disable") if is_local || self.allow_plaintext => false,
            Some("disable") => {
                return Err(
                    "sslmode=disable is for loopback; set DATABASE_ALLOW_PLAINTEXT=true to allow it for other hosts"
                        .into(),
                );
            }
            Some("prefer" | "allow") => {
                return Err("sslmode=prefer and sslmode=allow can fall back to plain text; use verify-full".into());
            }
            Some("verify-ca") => {
                return Err("sslmode=verify-ca accepts any host of the authority; use verify-full".into());
            }
            Some(_) => return Err("sslmode must be verify-full, require or disable".into()),
        };
        let binds = config.get_channel_binding() == ChannelBinding::Require;
        match self.auth {
            _ if binds && !is_encrypted => Err("channel_binding=require needs TLS; use sslmode=verify-full".into()),
            AuthMethod::Iam if !is_encrypted => Err("DATABASE_AUTH=iam needs TLS; use sslmode=verify-full".into()),
            AuthMethod::Iam if binds => {
                Err("DATABASE_AUTH=iam does not support channel binding; omit channel_binding".into())
            }
            AuthMethod::Iam if !matches!(config.get_hosts(), [Host::Tcp(_)]) || config.get_user().is_none() => {
                Err("DATABASE_AUTH=iam needs one user and one host; give both".into())
            }
            _ => Ok(is_encrypted.then(|| own.or_else(|| self.tls.clone()).unwrap_or_else(Tls::amazon))),
        }
    }
}

/// Whether all addresses of the settings are on this machine.
fn is_local(config: &Config) -> bool {
    let hosts_are_local = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
        }
        Host::Unix(_) => true,
    });
    // `hostaddr` takes precedence over `host`.
    hosts_are_local && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_root_is_valid() {
        for (bundle, count) in [(RDS_ROOTS, 87), (AMAZON_ROOTS, 5)] {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
                roots.add(certificate.unwrap()).unwrap();
            }
            assert_eq!(roots.len(), count);
        }
        let _ = Tls::amazon();
    }

    #[test]
    fn invalid_certificates_are_rejected() {
        for pem in ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(Tls::from_pem(pem).is_err(), "{pem}");
        }
    }
}
