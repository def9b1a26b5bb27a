//! Entries of tokens in the key ring, in the form of the secret `API_KEYS_SECRET_ID`.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// Returns the lower-case hex SHA-256 of a whole token, the only form in which tokens are stored.
pub fn hash(token: &str) -> String {
    hex(&Sha256::digest(token))
}

pub fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// The value of the secret, with members in the contract's order.
#[derive(Serialize)]
pub struct Ring {
    pub api_keys: Vec<Entry>,
}

/// An active key of an account that does not expire.
#[derive(Serialize)]
pub struct Entry {
    pub key_hash: String,
    pub user_id: String,
    pub name: String,
    pub is_active: bool,
}

impl Entry {
    pub fn new(token: &str, user_id: impl Into<String>, name: impl Into<String>) -> Self {
        Self { key_hash: hash(token), user_id: user_id.into(), name: name.into(), is_active: true }
    }
}

pub fn json(keys: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(keys)?)
}
