//! Verified TLS to PostgreSQL: the certificate's chain and the host's name, always both.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::aws::AMAZON_ROOTS;

/// The roots of RDS instances and Aurora clusters, those that have not expired of
/// <https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem>.
const RDS_ROOTS: &str = include_str!("../roots/rds.pem");

// Made for the first connection that needs it: a hundred certificates are not parsed for nothing.
static AMAZON: LazyLock<Tls> =
    LazyLock::new(|| Tls::from_bundles(&[RDS_ROOTS, AMAZON_ROOTS]).expect("a test reads the embedded certificates"));

/// Encrypts connections and verifies their server with certain roots.
#[derive(Clone)]
pub struct Tls(MakeRustlsConnect);

impl Tls {
    /// With Amazon's roots.
    #[must_use]
    pub fn amazon() -> Self {
        AMAZON.clone()
    }

    /// With the operator's own certificates, in PEM.
    ///
    /// # Errors
    ///
    /// If there is no certificate or a broken one.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        Self::from_bundles(&[pem])
    }

    fn from_bundles(bundles: &[&str]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in bundles.iter().flat_map(|pem| CertificateDer::pem_slice_iter(pem.as_bytes())) {
            // Their own words quote the line that is wrong.
            let certificate = certificate.map_err(|_| "it is not PEM")?;
            roots.add(certificate).map_err(|_| "it holds a certificate that is none")?;
        }
        if roots.is_empty() {
            return Err("it holds no certificate in PEM".into());
        }
        // The provider is named, not looked up: the process may have another one as its default, or none.
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(MakeRustlsConnect::new(config)))
    }

    /// For tokio-postgres.
    pub(super) fn connector(&self) -> MakeRustlsConnect {
        self.0.clone()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_root_is_a_certificate() {
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
    fn own_certificates_that_are_none_are_refused() {
        for pem in ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(Tls::from_pem(pem).is_err(), "{pem}");
        }
    }
}
