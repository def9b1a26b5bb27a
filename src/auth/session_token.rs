//! Verifies a session token of the product's sign-in: a JWT (RFC 7519), signed as a JWS in its compact form (RFC 7515).
//!
//! The configuration fixes the algorithm: a secret verifies HS256, and a key of a JWKS (RFC 7517) verifies the one
//! algorithm of its type, RS256 or ES256. A token's header can only agree. Its fields `jwk`, `jku` and `x5u` are ignored.
//! <https://www.rfc-editor.org/rfc/rfc8725> lists the attacks that this prevents.

use std::{borrow::Cow, fmt, ops::RangeInclusive};

use aws_lc_rs::{
    hmac,
    signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::{Value, value::RawValue};
use uuid::Uuid;

use super::{Authenticated, BearerToken};

/// The shortest secret for HS256, in bytes: as long as the hash, <https://www.rfc-editor.org/rfc/rfc7518#section-3.2>.
pub const MIN_JWT_SECRET_BYTES: usize = 32;

/// The sizes of an RSA modulus, in bits. Shorter ones can be broken, <https://www.rfc-editor.org/rfc/rfc7518#section-3.3>,
/// and AWS-LC verifies no longer ones.
const RSA_BITS: RangeInclusive<usize> = 2_048..=8_192;

/// The length of a coordinate of P-256, in bytes.
const P256_BYTES: usize = 32;

/// The difference between the clocks of the sign-in service and this function that `exp` and `nbf` tolerate, in seconds.
pub const CLOCK_LEEWAY_SECONDS: i64 = 10;

/// A bearer token that has the form of a session token. Nothing is verified yet.
pub struct SessionToken<'a> {
    /// Header and claims with the dot between them.
    signed: &'a [u8],
    header: &'a [u8],
    claims: &'a [u8],
    signature: &'a [u8],
}

impl<'a> SessionToken<'a> {
    /// Returns `None` unless the token is three parts of base64url characters, separated by dots.
    #[must_use]
    pub fn from_bearer(token: &BearerToken<'a>) -> Option<Self> {
        let mut parts = token.0.split(|&byte| byte == b'.');
        let (header, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
        let is_base64url = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        let well_formed = parts.next().is_none() && [header, claims, signature].into_iter().flatten().all(is_base64url);
        well_formed.then(|| Self { signed: &token.0[..=header.len() + claims.len()], header, claims, signature })
    }
}

impl fmt::Debug for SessionToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(…)")
    }
}

/// What a token must say about itself.
#[derive(Clone, Debug)]
pub struct SessionTokenRules {
    /// The value of `iss`.
    pub issuer: String,
    /// The value of `aud`, or one of its values.
    pub audience: String,
}

/// Why a session token is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// A newer version of the keys could accept it.
    UnknownKey,
    /// No version of the keys would accept it.
    Invalid,
}

/// The keys that verify session tokens.
pub struct SessionTokenKeys(Keys);

enum Keys {
    Secret(Box<hmac::Key>),
    Public(Vec<PublicKey>),
}

struct PublicKey {
    id: String,
    algorithm: &'static str,
    key: ParsedPublicKey,
}

impl SessionTokenKeys {
    /// Reads the secret `{"jwt_secret": "…"}`, whose text is the key for HS256 as it is.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong with the secret, without quoting it.
    pub fn from_secret(secret: &str) -> Result<Self, String> {
        let secret: Value = parse(secret)?;
        let key = secret.get("jwt_secret").and_then(Value::as_str).ok_or("it has no text \"jwt_secret\"")?;
        if key.len() < MIN_JWT_SECRET_BYTES {
            return Err(format!("jwt_secret has less than {MIN_JWT_SECRET_BYTES} bytes"));
        }
        // Anyone who knows the public key could sign tokens.
        if key.trim_start().starts_with("-----BEGIN") {
            return Err("jwt_secret is a key pair's PEM; for RS256 and ES256, set JWKS_URL instead".into());
        }
        Ok(Self(Keys::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())))))
    }

    /// Reads a JWKS. Keys that cannot verify RS256 or ES256 are ignored, as RFC 7517 requires, so the set can be empty.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong with the set.
    pub fn from_jwks(jwks: &str) -> Result<Self, String> {
        let jwks: Value = parse(jwks)?;
        let keys = jwks.get("keys").and_then(Value::as_array).ok_or("it has no array \"keys\"")?;
        Ok(Self(Keys::Public(keys.iter().filter_map(PublicKey::from_jwk).collect())))
    }

    /// Whether there is no key, so that every token is rejected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Keys::Public(keys) if keys.is_empty())
    }

    /// The account of a token, if one of these keys has signed it and its claims obey the rules at `now`.
    ///
    /// # Errors
    ///
    /// Whether other keys could accept the token.
    pub fn authenticate(
        &self,
        token: &SessionToken<'_>,
        rules: &SessionTokenRules,
        now: Timestamp,
    ) -> Result<Authenticated, Rejection> {
        self.verify(token)?;
        let claims = decode(token.claims).ok_or(Rejection::Invalid)?;
        let claims: Claims<'_> = object(&claims).ok_or(Rejection::Invalid)?;
        let user_id = claims.account(rules, now).ok_or(Rejection::Invalid)?;
        Ok(Authenticated { user_id })
    }

    fn verify(&self, token: &SessionToken<'_>) -> Result<(), Rejection> {
        let header = decode(token.header).ok_or(Rejection::Invalid)?;
        let header: Header<'_> = object(&header).ok_or(Rejection::Invalid)?;
        let signature = decode(token.signature).ok_or(Rejection::Invalid)?;
        if header.has_crit {
            return Err(Rejection::Invalid);
        }
        match &self.0 {
            Keys::Secret(key) if header.alg == "HS256" => {
                hmac::verify(key, token.signed, &signature).map_err(|_| Rejection::UnknownKey)
            }
            Keys::Public(keys) if ["RS256", "ES256"].contains(&&*header.alg) => {
                let id = header.kid.ok_or(Rejection::Invalid)?;
                let mut with_id = keys.iter().filter(|key| key.id == id).peekable();
                with_id.peek().ok_or(Rejection::UnknownKey)?;
                let verifies = |key: &PublicKey| {
                    key.algorithm == header.alg && key.key.verify_sig(token.signed, &signature).is_ok()
                };
                with_id.any(verifies).then_some(()).ok_or(Rejection::Invalid)
            }
            _ => Err(Rejection::Invalid),
        }
    }
}

impl fmt::Debug for SessionTokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionTokenKeys(…)")
    }
}

impl PublicKey {
    fn from_jwk(jwk: &Value) -> Option<Self> {
        let text = |name| jwk.get(name).and_then(Value::as_str);
        let bytes = |name| decode(text(name)?.as_bytes());
        let is_for_signatures = jwk.get("use").is_none_or(|usage| usage == "sig")
            && jwk
                .get("key_ops")
                .is_none_or(|uses| uses.as_array().is_some_and(|uses| uses.contains(&"verify".into())));
        let (algorithm, key) = match text("kty")? {
            "RSA" => {
                let (n, e) = (bytes("n")?, bytes("e")?);
                let bits = n.len() * 8 - usize::try_from(n.first()?.leading_zeros()).ok()?;
                let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
                ("RS256", key.ok().filter(|_| RSA_BITS.contains(&bits))?)
            }
            "EC" if text("crv") == Some("P-256") => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                if [x.len(), y.len()] != [P256_BYTES; 2] {
                    return None;
                }
                let point = [&[4][..], &x, &y].concat();
                ("ES256", ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()?)
            }
            _ => return None,
        };
        let is_usable = is_for_signatures && jwk.get("alg").is_none_or(|alg| alg == algorithm);
        is_usable.then_some(Self { id: text("kid")?.to_owned(), algorithm, key })
    }
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    kid: Option<Cow<'a, str>>,
    /// Extensions that a verifier must understand, and this one understands none.
    #[serde(rename = "crit", default, deserialize_with = "is_present")]
    has_crit: bool,
}

fn is_present<'a, D: Deserializer<'a>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

/// The claims that decide. A claim given twice is an error, as are times that are not whole seconds.
#[derive(Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
    /// A text, or an array of them.
    #[serde(borrow)]
    aud: &'a RawValue,
    exp: i64,
    nbf: Option<i64>,
    #[serde(borrow)]
    sub: Cow<'a, str>,
}

impl Claims<'_> {
    fn account(&self, rules: &SessionTokenRules, now: Timestamp) -> Option<Uuid> {
        let [earliest, latest] = [-1, 1].map(|sign| now.as_second() + sign * CLOCK_LEEWAY_SECONDS);
        let is_current = earliest < self.exp && self.nbf.is_none_or(|nbf| nbf <= latest);
        let audiences = match serde_json::from_str(self.aud.get()) {
            Ok(audience) => vec![audience],
            Err(_) => serde_json::from_str::<Vec<String>>(self.aud.get()).ok()?,
        };
        let is_for_us = self.iss == rules.issuer && audiences.contains(&rules.audience);
        // The sign-in service writes UUIDs with hyphens; the parser knows other forms, which have other lengths.
        let user_id = self.sub.parse().ok().filter(|_| self.sub.len() == 36);
        user_id.filter(|_| is_current && is_for_us)
    }
}

/// Reads base64url without padding. Each value has one form only: bits after the end must be zero.
fn decode(part: &[u8]) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(part).ok()
}

/// Reads a JSON object. `serde` would also read an array as a struct.
fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    json.trim_ascii_start().starts_with(b"{").then(|| serde_json::from_slice(json).ok())?
}

fn parse(json: &str) -> Result<Value, String> {
    serde_json::from_str(json)
        .map_err(|error| format!("it is not JSON, at line {} column {}", error.line(), error.column()))
}
