//! Certificates for servers on this machine.

use std::{sync::Arc, time::SystemTime};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// A certificate authority that only clients with its certificate trust.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate chain and its key, both in PEM.
pub struct Certificate {
    pub chain: String,
    pub key: String,
}

impl Certificate {
    /// Returns the server's side of TLS with this certificate.
    pub fn acceptor(&self) -> Result<TlsAcceptor> {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Validity periods: from the first day of one year to the first day of another.
pub const NOW: [i32; 2] = [2020, 2100];
pub const PAST: [i32; 2] = [2020, 2021];
pub const FUTURE: [i32; 2] = [2090, 2100];

impl Authority {
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("Authority {:016x}", fastrand::u64(..)));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// Returns the authority's certificate, for clients that trust it.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Issues a server certificate for these names and addresses.
    pub fn certify(&self, names: &[&str], [from, to]: [i32; 2]) -> Result<Certificate> {
        let mut params = params(names)?;
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        self.sign(&params)
    }

    /// Issues a server certificate for these names and addresses that expires at the end of this second.
    pub fn certify_until(&self, names: &[&str], end: SystemTime) -> Result<Certificate> {
        let mut params = params(names)?;
        params.not_before = date_time_ymd(NOW[0], 1, 1);
        params.not_after = date_time_ymd(1970, 1, 1) + end.duration_since(SystemTime::UNIX_EPOCH)?;
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Result<Certificate> {
        let key = KeyPair::generate()?;
        Ok(Certificate { chain: params.signed_by(&key, &self.0)?.pem(), key: key.serialize_pem() })
    }
}

fn params(names: &[&str]) -> Result<CertificateParams> {
    Ok(CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?)
}
