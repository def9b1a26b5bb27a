//! Collects the tokens, hashes, passwords, e-mail addresses and messages of the tests, and searches the function's
//! output for them.

use std::{
    collections::BTreeSet,
    sync::{LazyLock, Mutex, PoisonError},
};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Shortest secret: shorter words can occur in a log by chance.
const SHORTEST: usize = 7;

static SECRETS: LazyLock<Mutex<BTreeSet<String>>> = LazyLock::new(Mutex::default);

/// Adds a text that no output may contain.
pub fn keep(secret: &str) {
    if secret.len() >= SHORTEST {
        SECRETS.lock().unwrap_or_else(PoisonError::into_inner).insert(secret.to_owned());
    }
}

/// Adds the token of an `Authorization` header, and its hash.
pub fn keep_token(header: &str) {
    let token = header.trim().split(' ').next_back().unwrap_or_default();
    keep(token);
    keep(&crate::keys::hex(&Sha256::digest(token)));
}

/// Adds the hashes, passwords and certificates of a secret; the whole secret if it is not JSON.
pub fn keep_secret(text: &str) {
    match serde_json::from_str(text) {
        Ok(json) => keep_fields(&json),
        Err(_) => keep(text),
    }
}

fn keep_fields(json: &Value) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text)
                        if ["jwt_secret", "key_hash", "password", "sslrootcert"].contains(&name.as_str()) =>
                    {
                        keep(text);
                    }
                    value => keep_fields(value),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(keep_fields),
        _ => {}
    }
}

/// Adds the password of a URL, as it is encoded there.
pub fn keep_url(url: &str) {
    let credentials =
        url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).map(|(credentials, _)| credentials);
    if let Some((_, password)) = credentials.and_then(|credentials| credentials.split_once(':')) {
        keep(password);
    }
}

/// Adds the literals of SQL that are addresses, names or messages: those with an `@`, or with a word and a space.
/// Intervals are excluded, because `1 second` occurs in errors of rustls.
pub fn keep_rows(sql: &str) {
    let pieces: Vec<&str> = sql.split('\'').collect();
    for [before, literal] in pieces.as_chunks().0 {
        let has_word = |text: &str| text.split(' ').any(|word| word.chars().filter(|c| c.is_alphabetic()).count() > 3);
        let is_text = literal.contains('@') || (literal.contains(' ') && has_word(literal));
        if is_text && !literal.contains('\n') && !before.trim_end().ends_with("interval") {
            keep(literal);
        }
    }
}

pub fn known() -> usize {
    SECRETS.lock().unwrap_or_else(PoisonError::into_inner).len()
}

pub fn found_in(text: &str) -> Vec<String> {
    let secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
    secrets.iter().filter(|secret| text.contains(secret.as_str())).cloned().collect()
}

/// Asserts that a text contains no secrets.
///
/// # Panics
///
/// With the secrets that it contains.
pub fn assert_silent(what: &str, text: &str) {
    let found = found_in(text);
    assert!(found.is_empty(), "{what} contains {found:?}:\n{text}");
}
