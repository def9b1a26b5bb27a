//! Shows values without texts: lengths and hashes. The hashes are salted, because those of short texts can be guessed.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testkit::keys;
use uuid::Uuid;

use super::{answer::is_identifier, compare::instant};

/// Hex digits of a hash.
const HASH_DIGITS: usize = 8;

pub struct Mask {
    salt: [u8; 16],
}

impl Mask {
    pub fn new() -> Self {
        Self { salt: fastrand::u128(..).to_be_bytes() }
    }

    /// Shows a field's value: ids, times, numbers and known words as they are.
    pub fn value(&self, field: &str, value: Option<&Value>) -> Value {
        let Some(value) = value else { return "missing".into() };
        let is_shown = match (field, value) {
            (_, Value::Null | Value::Bool(_)) | ("total" | "message_count", Value::Number(_)) => true,
            ("id" | "widget_id", Value::String(text)) => Uuid::try_parse(text).is_ok(),
            ("last_message_at" | "created_at", Value::String(text)) => instant(text).is_some(),
            ("status", Value::String(text)) => matches!(text.as_str(), "active" | "closed"),
            _ => false,
        };
        if is_shown {
            return value.clone();
        }
        let (kind, length) = match value {
            Value::String(text) => ("text", text.chars().count()),
            Value::Array(items) => ("list", items.len()),
            Value::Object(members) => ("object", members.len()),
            _ => ("number", value.to_string().len()),
        };
        json!({ "kind": kind, "length": length, "hash": self.hash(value.to_string().as_bytes()) })
    }

    /// Shows a key's name, unless it may be a text.
    pub fn name(&self, name: &str) -> String {
        if is_identifier(name) { name.to_owned() } else { format!("key {}", self.hash(name.as_bytes())) }
    }

    /// Shows a session's id, which is not one if an endpoint is broken.
    pub fn id(&self, id: &str) -> String {
        if Uuid::try_parse(id).is_ok() { id.to_owned() } else { self.hash(id.as_bytes()) }
    }

    fn hash(&self, bytes: &[u8]) -> String {
        let hash = keys::hex(&Sha256::new().chain_update(self.salt).chain_update(bytes).finalize());
        hash[..HASH_DIGITS].to_owned()
    }
}

/// Formats a masked value for the terminal.
pub fn shown(value: &Value) -> String {
    match (value, value["kind"].as_str()) {
        (Value::String(text), _) => text.clone(),
        (_, Some(kind)) => {
            format!("{kind} of length {}, hash {}", value["length"], value["hash"].as_str().unwrap_or_default())
        }
        _ => value.to_string(),
    }
}
