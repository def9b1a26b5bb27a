//! The compact form of keys in the secret: 36 bytes for a key, 44 with an expiry, in base64.
//!
//! ```json
//! { "compact": { "version": 1, "keys": "<base64>", "expiring": "<base64>" } }
//! ```
//!
//! A record of `keys` is the first 20 bytes of the token's SHA-256 and the account's UUID. A record of `expiring` is the same and
//! the expiry, in microseconds since 1970 as a big-endian `i64`. Records are sorted by hash. All keys are active: a revoked key is
//! not in the list. 160 bits of the hash are as many as a token has at random.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use uuid::Uuid;

/// The only version of the form.
const VERSION: u64 = 1;

/// The bytes of a hash that a record has.
pub const HASH_BYTES: usize = 20;
const USER_ID_BYTES: usize = 16;
const EXPIRY_BYTES: usize = 8;

/// The bytes of a record without and with an expiry.
const RECORD_BYTES: usize = HASH_BYTES + USER_ID_BYTES;
const EXPIRING_RECORD_BYTES: usize = RECORD_BYTES + EXPIRY_BYTES;

/// An active key. It has no `Debug`, so that hashes are not printed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CompactKey {
    /// The first bytes of the token's SHA-256.
    pub hash: [u8; HASH_BYTES],
    /// The account.
    pub user_id: Uuid,
    /// The expiry in microseconds since 1970, if the key expires.
    pub expires_at: Option<i64>,
}

/// Reads the member `compact` of the secret; returns its keys sorted by hash.
///
/// # Errors
///
/// A text that says what is wrong and where, without quoting the secret.
pub fn decode(compact: &Value) -> Result<Vec<CompactKey>, String> {
    if !compact.is_object() {
        return Err("compact is not an object".into());
    }
    if compact.get("version").and_then(Value::as_u64) != Some(VERSION) {
        return Err(format!("compact.version is not {VERSION}"));
    }
    let mut keys = records(compact, "keys", RECORD_BYTES)?;
    keys.extend(records(compact, "expiring", EXPIRING_RECORD_BYTES)?);
    keys.sort();
    if keys.windows(2).any(|pair| pair[0].hash == pair[1].hash) {
        return Err("compact.keys and compact.expiring have the same hash: remove one of them".into());
    }
    Ok(keys)
}

fn records(compact: &Value, name: &str, size: usize) -> Result<Vec<CompactKey>, String> {
    let text = compact.get(name).and_then(Value::as_str).ok_or_else(|| format!("compact.{name} is not a string"))?;
    let bytes = STANDARD.decode(text).map_err(|_| format!("compact.{name} is not base64"))?;
    if bytes.len() % size != 0 {
        return Err(format!("compact.{name} does not consist of records of {size} bytes"));
    }
    let keys: Vec<_> = bytes.chunks_exact(size).map(CompactKey::from_record).collect();
    match keys.windows(2).position(|pair| pair[0].hash >= pair[1].hash) {
        Some(at) if keys[at].hash == keys[at + 1].hash => Err(format!("compact.{name}[{}] repeats a hash", at + 1)),
        Some(at) => Err(format!("compact.{name}[{}] is not sorted by hash", at + 1)),
        None => Ok(keys),
    }
}

/// Writes the member `compact`. Of keys with the same hash, only the first is written.
#[must_use]
pub fn encode(keys: &[CompactKey]) -> Value {
    let mut keys = keys.to_vec();
    keys.sort();
    keys.dedup_by(|next, previous| next.hash == previous.hash);
    let (mut lasting, mut expiring) = (Vec::new(), Vec::new());
    for key in &keys {
        let records = if key.expires_at.is_some() { &mut expiring } else { &mut lasting };
        records.extend_from_slice(&key.hash);
        records.extend_from_slice(key.user_id.as_bytes());
        records.extend(key.expires_at.map(i64::to_be_bytes).into_iter().flatten());
    }
    json!({ "version": VERSION, "keys": STANDARD.encode(lasting), "expiring": STANDARD.encode(expiring) })
}

impl CompactKey {
    /// Reads a record of one of the two sizes.
    fn from_record(record: &[u8]) -> Self {
        let mut key = Self { hash: [0; HASH_BYTES], user_id: Uuid::nil(), expires_at: None };
        let (hash, rest) = record.split_at(HASH_BYTES);
        let (user_id, expiry) = rest.split_at(USER_ID_BYTES);
        key.hash.copy_from_slice(hash);
        key.user_id = Uuid::from_slice(user_id).unwrap_or_default();
        key.expires_at = expiry.try_into().ok().map(i64::from_be_bytes);
        key
    }
}
