//! The tokens that are accepted: the content of the secret `API_KEYS_SECRET_ID`.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use uuid::Uuid;

use super::{Authenticated, TokenHash};

/// The accepted tokens' hashes, and the account of each.
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
    /// What is wrong with the secret and where, in words that hold none of its content.
    pub fn parse(secret: &str) -> Result<Self, String> {
        let secret: Value = serde_json::from_str(secret)
            .map_err(|error| format!("it is not JSON, at line {} column {}", error.line(), error.column()))?;
        let entries = secret.get("api_keys").and_then(Value::as_array).ok_or("it has no array \"api_keys\"")?;
        let entry = |(index, entry)| ApiKey::parse(entry).map_err(|fault| format!("api_keys[{index}]{fault}"));
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

    /// The account that a token belongs to, if a key of it is active and has not expired at `now`.
    ///
    /// Every entry is compared in whole, and taken or passed over without a branch, so the time this takes tells nothing
    /// about the entries: not whether a token is one of a revoked or expired key, nor where in the ring a key stands.
    #[must_use]
    pub fn authenticate(&self, hash: &TokenHash, now: Timestamp) -> Option<Authenticated> {
        let mut user_id = 0;
        let mut is_known = Choice::from(0);
        for key in &self.0 {
            let [is_active, is_unexpired] = [key.is_active, now < key.expires_at].map(|is| Choice::from(u8::from(is)));
            // Two large numbers, not 32 bytes one by one: a tenth of the time.
            let is_hash = key.hash.0[0].ct_eq(&hash.0[0]) & key.hash.0[1].ct_eq(&hash.0[1]);
            let matches = is_hash & is_active & is_unexpired;
            user_id.conditional_assign(&key.user_id.as_u128(), matches);
            is_known |= matches;
        }
        bool::from(is_known).then(|| Authenticated { user_id: Uuid::from_u128(user_id) })
    }
}

impl ApiKey {
    /// The field in which two entries for the same hash differ. Which of them the operator means is not known: the one
    /// that is revoked or expires sooner would have no effect.
    fn contradicts(&self, other: &Self) -> Option<&'static str> {
        match self {
            _ if self.user_id != other.user_id => Some("user_id"),
            _ if self.is_active != other.is_active => Some("is_active"),
            _ if self.expires_at != other.expires_at => Some("expires_at"),
            _ => None,
        }
    }

    fn parse(entry: &Value) -> Result<Self, &'static str> {
        // `null` is the same as not given, as everywhere in the contract.
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

/// An RFC 3339 time. jiff's own ends on 9999-12-30, a day before what people write for "never": from there on it is that
/// end.
fn expiry(time: &str) -> Option<Timestamp> {
    let has_offset = || time.get(11..).is_some_and(|rest| rest.contains(['Z', 'z', '+', '-']));
    let is_later =
        || has_offset() && time.starts_with("9999-12-3") && crate::timestamp::PgTimestamp::parse(time).is_some();
    time.parse().ok().or_else(|| is_later().then_some(Timestamp::MAX))
}
