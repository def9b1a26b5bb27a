//! Certificates of our own for servers on this machine.

use std::time::SystemTime;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// An authority that nobody knows but whom we tell.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What a server shows, and the key to it, both in PEM.
pub struct Certificate {
    pub chain: String,
    pub key: String,
}

/// The years from the first days of which to which a certificate is valid.
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

    /// The authority's own certificate, for clients that are to trust it.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server's certificate for these names and addresses.
    pub fn certify(&self, names: &[&str], [from, to]: [i32; 2]) -> Result<Certificate> {
        let mut params = params(names)?;
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        self.sign(&params)
    }

    /// A server's certificate for these names and addresses that expires at the end of this second.
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
