//! Verifies tokens as AWS does, implemented only from the description of Signature Version 4.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use anyhow::{Context, Result, ensure};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use sha2::{Digest, Sha256};

use crate::keys::hex;

#[derive(Clone)]
pub struct Role {
    pub access_key: &'static str,
    pub secret_key: &'static str,
    /// Percent-encoded.
    pub session_token: Option<&'static str>,
}

impl Role {
    /// Fails unless `token` is a valid one of this role for `user` at `address`.
    pub fn verify(&self, token: &str, address: &str, user: &str) -> Result<()> {
        let query = token.strip_prefix(&format!("{address}/?")).context("it is for another address")?;
        let (signature, mut parameters): (Vec<_>, Vec<_>) =
            query.split('&').partition(|parameter| parameter.starts_with("X-Amz-Signature="));
        parameters.sort_unstable();
        let parameter = |name| parameters.iter().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));

        let date = parameter("X-Amz-Date").context("it has no date")?;
        let age = Timestamp::now().duration_since(self::time(date)?);
        ensure!(age >= SignedDuration::ZERO && age < SignedDuration::from_mins(15), "it is {age} old");
        let scope = format!("{}/us-east-1/rds-db/aws4_request", &date[..8]);
        for (name, expected) in [
            ("Action", Some("connect")),
            ("DBUser", Some(user)),
            ("X-Amz-Algorithm", Some("AWS4-HMAC-SHA256")),
            ("X-Amz-Credential", Some(&*format!("{}/{scope}", self.access_key).replace('/', "%2F"))),
            ("X-Amz-Expires", Some("900")),
            ("X-Amz-Security-Token", self.session_token),
            ("X-Amz-SignedHeaders", Some("host")),
        ] {
            ensure!(parameter(name) == expected, "its {name} is {:?}", parameter(name));
        }

        let request = format!("GET\n/\n{}\nhost:{address}\n\nhost\n{}", parameters.join("&"), hex(&Sha256::digest("")));
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(request)));
        let key = format!("AWS4{}", self.secret_key).into_bytes();
        let key = scope.split('/').try_fold(key, |key, part| hmac(&key, part))?;
        ensure!(signature == [format!("X-Amz-Signature={}", hex(&hmac(&key, &text)?))], "its signature is wrong");
        Ok(())
    }
}

pub fn time(date: &str) -> Result<Timestamp> {
    Ok(DateTime::strptime("%Y%m%dT%H%M%SZ", date)?.to_zoned(TimeZone::UTC)?.timestamp())
}

fn hmac(key: &[u8], text: &str) -> Result<Vec<u8>> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key)?;
    hmac.update(text.as_bytes());
    Ok(hmac.finalize().into_bytes().to_vec())
}
