//! Authenticates the caller: the `Authorization` header's token is looked up by its hash in the key ring.
//!
//! Tokens are not stored. The key ring contains SHA-256 digests: a token is 160 random bits, which cannot be guessed, so
//! a slow hash would protect nothing, and it would help denial of service because it runs on every request.

mod session_token;

use std::{collections::HashMap, fmt};

use jiff::Timestamp;
use lambda_http::http::{HeaderMap, header::AUTHORIZATION};
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use uuid::Uuid;

use crate::{error::Error, timestamp::PgTimestamp};
pub use session_token::{
    CLOCK_LEEWAY_SECONDS, MIN_JWT_SECRET_BYTES, Rejection, SessionToken, SessionTokenKeys, SessionTokenRules,
};

/// The longest accepted token, in bytes: API Gateway's limit for all headers of a request together.
const MAX_TOKEN_BYTES: usize = 10_240;

/// The token of an `Authorization: Bearer …` header.
pub struct BearerToken<'a>(&'a [u8]);

impl<'a> BearerToken<'a> {
    /// Reads the `Authorization` header: the scheme `Bearer` in any case, one or more spaces, the token.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthorized`] if the header is missing, given twice or malformed.
    pub fn from_headers(headers: &'a HeaderMap) -> Result<Self, Error> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(Error::Unauthorized);
        };
        Self::from_value(value.as_bytes()).ok_or(Error::Unauthorized)
    }

    fn from_value(value: &'a [u8]) -> Option<Self> {
        let (scheme, rest) = value.trim_ascii().split_at_checked("Bearer".len())?;
        let token = rest.strip_prefix(b" ")?;
        let token = &token[token.iter().take_while(|&&byte| byte == b' ').count()..];
        let well_formed = scheme.eq_ignore_ascii_case(b"Bearer")
            && (1..=MAX_TOKEN_BYTES).contains(&token.len())
            && !token.iter().any(u8::is_ascii_whitespace);
        well_formed.then_some(Self(token))
    }

    /// The hash that identifies this token in the key ring.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::new(Sha256::digest(self.0).into())
    }
}

impl fmt::Debug for BearerToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(…)")
    }
}

/// The SHA-256 of a token. The secret and the product's `api_keys.key_hash` have it in lower-case hex.
#[derive(Clone, Copy)]
pub struct TokenHash([u128; 2]);

impl TokenHash {
    /// Reads 64 lower-case hex digits.
    #[must_use]
    pub fn from_hex(hex: &str) -> Option<Self> {
        let lower_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() != 64 || !hex.as_bytes().iter().all(lower_hex) {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, digits) in hash.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self::new(hash))
    }

    fn new(digest: [u8; 32]) -> Self {
        Self([0, 16].map(|start| u128::from_be_bytes(std::array::from_fn(|index| digest[start + index]))))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// Proof that a token was verified. Queries require it, and only [`KeyRing::authenticate`] and
/// [`SessionTokenKeys::authenticate`] create it.
#[derive(Debug)]
pub struct Authenticated {
    user_id: Uuid,
}

impl Authenticated {
    /// The account's id, `users.id`.
    #[must_use]
    pub fn user_id(&self) -> &Uuid {
        &self.user_id
    }
}

/// The content of the secret `API_KEYS_SECRET_ID`: the hashes of the accepted tokens, and the account of each.
#[derive(Debug)]
pub struct KeyRing(Vec<ApiKey>);

#[derive(Debug)]
struct ApiKey {
    hash: TokenHash,
    user_id: Uuid,
    is_active: bool,
    /// `Timestamp::MAX` for a key that never expires.
    expires_at: Timestamp,
}

impl KeyRing {
    /// Reads the secret's JSON.
    ///
    /// # Errors
    ///
    /// A text that says what is wrong with the secret and where, without quoting it.
    pub fn parse(secret: &str) -> Result<Self, String> {
        let secret: Value = serde_json::from_str(secret)
            .map_err(|error| format!("it is not JSON, at line {} column {}", error.line(), error.column()))?;
        let entries = secret.get("api_keys").and_then(Value::as_array).ok_or("it has no array \"api_keys\"")?;
        let entry = |(index, entry)| ApiKey::parse(entry).map_err(|error| format!("api_keys[{index}]{error}"));
        let keys = entries.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>()?;
        let mut seen = HashMap::new();
        for (index, key) in keys.iter().enumerate() {
            let first = *seen.entry(key.hash.0).or_insert(index);
            if let Some(field) = key.contradicts(&keys[first]) {
                return Err(format!(
                    "api_keys[{index}] has the key_hash of api_keys[{first}] and another {field}: remove one of them"
                ));
            }
        }
        Ok(Self(keys))
    }

    /// The account of a token, if its key is active and has not expired at `now`.
    ///
    /// Compares all of every entry, without a branch that depends on the outcome. The time that this takes does not reveal
    /// whether a token is unknown, revoked or expired, or its key's position in the ring.
    #[must_use]
    pub fn authenticate(&self, hash: &TokenHash, now: Timestamp) -> Option<Authenticated> {
        let mut user_id = 0;
        let mut is_known = Choice::from(0);
        for key in &self.0 {
            let [is_active, is_unexpired] = [key.is_active, now < key.expires_at].map(|is| Choice::from(u8::from(is)));
            // As two numbers, not byte by byte: 5 µs instead of 32 for 350 keys.
            let is_hash = key.hash.0[0].ct_eq(&hash.0[0]) & key.hash.0[1].ct_eq(&hash.0[1]);
            let matches = is_hash & is_active & is_unexpired;
            user_id.conditional_assign(&key.user_id.as_u128(), matches);
            is_known |= matches;
        }
        bool::from(is_known).then(|| Authenticated { user_id: Uuid::from_u128(user_id) })
    }
}

impl ApiKey {
    /// The first field in which two entries for the same hash differ. If both were accepted, revoking one of them, or an
    /// earlier expiry, would have no effect.
    fn contradicts(&self, other: &Self) -> Option<&'static str> {
        match self {
            _ if self.user_id != other.user_id => Some("user_id"),
            _ if self.is_active != other.is_active => Some("is_active"),
            _ if self.expires_at != other.expires_at => Some("expires_at"),
            _ => None,
        }
    }

    fn parse(entry: &Value) -> Result<Self, &'static str> {
        // `null` means not given, as everywhere in the contract.
        let field = |name| entry.get(name).filter(|value| !value.is_null());
        let text = |name| field(name).and_then(Value::as_str);
        if !entry.is_object() {
            return Err(" is not an object");
        }
        Ok(Self {
            hash: text("key_hash").and_then(TokenHash::from_hex).ok_or(".key_hash is not 64 lower-case hex digits")?,
            user_id: text("user_id").and_then(|id| id.parse().ok()).ok_or(".user_id is not a UUID")?,
            is_active: field("is_active").map_or(Some(true), Value::as_bool).ok_or(".is_active is not a boolean")?,
            expires_at: field("expires_at")
                .map(|time| time.as_str().and_then(expiry).ok_or(".expires_at is not an RFC 3339 time"))
                .transpose()?
                .unwrap_or(Timestamp::MAX),
        })
    }
}

/// Reads an RFC 3339 time. jiff's range ends on 9999-12-30, a day before the date that people write for "never"; later
/// times become its maximum.
fn expiry(time: &str) -> Option<Timestamp> {
    let has_offset = || time.get(11..).is_some_and(|rest| rest.contains(['Z', 'z', '+', '-']));
    let is_later = || has_offset() && time.starts_with("9999-12-3") && PgTimestamp::parse(time).is_some();
    time.parse().ok().or_else(|| is_later().then_some(Timestamp::MAX))
}
