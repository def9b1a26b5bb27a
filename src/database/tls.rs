//! Verified TLS to PostgreSQL: the certificate's chain and the host's name, always both.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The roots of RDS instances and Aurora clusters, those that have not expired of
/// <https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem>.
const RDS_ROOTS: &str = include_str!("roots/rds.pem");

/// The roots of Amazon Trust Services, which sign the certificates of RDS Proxy: <https://www.amazontrust.com/repository/>.
const AMAZON_ROOTS: &str = include_str!("roots/amazon-trust-services.pem");

/// Encrypts connections and verifies their server with the operator's own certificates, or else with Amazon's.
///
/// # Errors
///
/// If `ca_pem` holds no certificates or broken ones.
pub fn connector(ca_pem: Option<&str>) -> Result<MakeRustlsConnect, String> {
    let bundles = match &ca_pem {
        Some(own) => std::slice::from_ref(own),
        None => &[RDS_ROOTS, AMAZON_ROOTS][..],
    };
    let mut roots = RootCertStore::empty();
    for certificate in bundles.iter().flat_map(|pem| CertificateDer::pem_slice_iter(pem.as_bytes())) {
        certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()))
            .map_err(|error| format!("DATABASE_CA_PEM: {error}"))?;
    }
    if roots.is_empty() {
        return Err("DATABASE_CA_PEM holds no certificate".into());
    }
    // The provider is named, not looked up: the process may have another one as its default, or none.
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
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
    }

    #[test]
    fn own_certificates_that_are_none_are_refused() {
        for pem in ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(connector(Some(pem)).err().unwrap().starts_with("DATABASE_CA_PEM"), "{pem}");
        }
    }
}
