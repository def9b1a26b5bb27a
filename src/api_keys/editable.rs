//! A key ring that programs can change: it keeps what they do not know, and is written in the form that fits.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    auth::{
        ApiKey, KeyRing,
        compact::{self, CompactKey, HASH_BYTES},
    },
    secret::MAX_SECRET_BYTES,
};

/// The fields of an entry in the contract's order, in which they are written; then all others.
const FIELDS: [&str; 6] = ["key_hash", "user_id", "name", "is_active", "expires_at", "source"];

/// The origin of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Added to the ring by hand; never changed by a synchronisation.
    Manual,
    /// Synchronised from the product's table `api_keys`.
    Table,
}

/// The content of a key-ring secret. It has no `Debug`, so that hashes are not printed.
#[derive(Clone, PartialEq)]
pub struct EditableRing {
    /// The readable entries, in their order.
    pub entries: Vec<Entry>,
    /// The keys in the compact form, sorted by hash. All of them are synchronised.
    pub compact: Vec<CompactKey>,
    /// The secret's other members.
    other: Map<String, Value>,
}

/// An entry of `api_keys` with all its fields, also unknown ones.
#[derive(Clone, PartialEq)]
pub struct Entry(Map<String, Value>);

impl EditableRing {
    /// A ring without keys.
    #[must_use]
    pub fn empty() -> Self {
        Self { entries: Vec::new(), compact: Vec::new(), other: Map::new() }
    }

    /// Reads a secret's text.
    ///
    /// # Errors
    ///
    /// As [`KeyRing::parse`]: what is wrong with it, without quoting it.
    pub fn parse(secret: &str) -> Result<Self, String> {
        KeyRing::parse(secret)?;
        let mut other: Map<String, Value> = serde_json::from_str(secret).map_err(|_| "it is not an object")?;
        let compact = other.remove("compact").filter(|compact| !compact.is_null());
        let entries = match other.remove("api_keys") {
            Some(Value::Array(entries)) => entries,
            _ => Vec::new(),
        };
        let entry = |entry| if let Value::Object(fields) = entry { Some(Entry(fields)) } else { None };
        Ok(Self {
            entries: entries.into_iter().filter_map(entry).collect(),
            compact: compact.as_ref().map(compact::decode).transpose()?.unwrap_or_default(),
            other,
        })
    }

    /// The number of keys in both forms.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() + self.compact.len()
    }

    /// Whether the ring has no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of synchronised keys in both forms.
    #[must_use]
    pub fn synchronised(&self) -> usize {
        self.entries.iter().filter(|entry| entry.source() == Source::Table).count() + self.compact.len()
    }

    /// The keys of a source, in both forms: the compact hash of each, and the key if it is active.
    pub(crate) fn keys(&self, source: Source) -> Vec<([u8; HASH_BYTES], Option<CompactKey>)> {
        let entries = self.entries.iter().filter(|entry| entry.source() == source);
        let entries = entries.filter_map(|entry| ApiKey::parse(&Value::Object(entry.0.clone())).ok());
        let compact = self.compact.iter().filter(|_| source == Source::Table);
        entries
            .map(|key| (key.hash.compact(), key.to_compact()))
            .chain(compact.map(|key| (key.hash, Some(key.clone()))))
            .collect()
    }

    /// Replaces all synchronised keys by these. Keys that were added by hand stay.
    pub fn set_synchronised(&mut self, mut entries: Vec<Entry>) {
        entries.sort_by(|a, b| a.key_hash().cmp(b.key_hash()));
        self.entries.retain(|entry| entry.source() == Source::Manual);
        self.entries.extend(entries);
        self.compact.clear();
    }

    /// Writes the secret's text: with the entries as they are if they fit into a secret, or else with the synchronised
    /// ones in the compact form.
    ///
    /// # Errors
    ///
    /// If neither form fits: the limit, the size and the number of keys. If the ring is invalid: as [`KeyRing::parse`].
    pub fn to_text(&self) -> Result<String, String> {
        let text = self.write();
        // Also before inactive entries are left out: they could contradict others.
        KeyRing::parse(&text)?;
        if text.len() <= MAX_SECRET_BYTES {
            return Ok(text);
        }
        let text = self.compacted().write();
        if text.len() > MAX_SECRET_BYTES {
            return Err(format!(
                "{} keys have {} bytes in the compact form, and a secret holds {MAX_SECRET_BYTES}: use shards",
                self.len(),
                text.len()
            ));
        }
        KeyRing::parse(&text)?;
        Ok(text)
    }

    /// The same keys, with the synchronised ones in the compact form, in which inactive ones are left out.
    fn compacted(&self) -> Self {
        let (table, manual): (Vec<_>, Vec<_>) =
            self.entries.iter().cloned().partition(|entry| entry.source() == Source::Table);
        let mut compact = self.compact.clone();
        compact.extend(table.into_iter().filter_map(|entry| ApiKey::parse(&Value::Object(entry.0)).ok()?.to_compact()));
        Self { entries: manual, compact, other: self.other.clone() }
    }

    /// One line for each entry.
    fn write(&self) -> String {
        let json = |value: &Value| value.to_string();
        let entry = |entry: &Entry| serde_json::to_string(entry).unwrap_or_default();
        let entries: Vec<_> = self.entries.iter().map(entry).collect();
        let mut members = vec![match entries.as_slice() {
            [] => "\"api_keys\":[]".to_owned(),
            entries => format!("\"api_keys\":[\n{}\n]", entries.join(",\n")),
        }];
        if !self.compact.is_empty() {
            members.push(format!("\"compact\":{}", compact::encode(&self.compact)));
        }
        members.extend(self.other.iter().map(|(name, value)| format!("{}:{value}", json(&name.as_str().into()))));
        format!("{{{}}}", members.join(","))
    }
}

impl Entry {
    /// An active key that does not expire. `key_hash` is the token's SHA-256 in 64 lower-case hex digits.
    #[must_use]
    pub fn new(key_hash: &str, user_id: Uuid, name: Option<&str>, source: Source) -> Self {
        let mut fields = Map::new();
        fields.insert("key_hash".into(), key_hash.into());
        fields.insert("user_id".into(), user_id.to_string().into());
        fields.extend(name.map(|name| ("name".to_owned(), name.into())));
        fields.insert("is_active".into(), true.into());
        if source == Source::Table {
            fields.insert("source".into(), "api_keys".into());
        }
        Self(fields)
    }

    /// Makes the key active or revokes it.
    #[must_use]
    pub fn active(mut self, is_active: bool) -> Self {
        self.0.insert("is_active".into(), is_active.into());
        self
    }

    /// Marks the key as added by hand, so that no synchronisation changes it.
    #[must_use]
    pub fn by_hand(mut self) -> Self {
        self.0.insert("source".into(), "manual".into());
        self
    }

    /// Sets the expiry, an RFC 3339 time.
    #[must_use]
    pub fn expiring(mut self, at: &str) -> Self {
        self.0.insert("expires_at".into(), at.into());
        self
    }

    /// The token's SHA-256 in lower-case hex.
    #[must_use]
    pub fn key_hash(&self) -> &str {
        self.text("key_hash").unwrap_or_default()
    }

    /// The account's id.
    #[must_use]
    pub fn user_id(&self) -> &str {
        self.text("user_id").unwrap_or_default()
    }

    /// The key's name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.text("name")
    }

    /// Whether the key is not revoked.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.0.get("is_active").and_then(Value::as_bool).unwrap_or(true)
    }

    /// The expiry as it is written.
    #[must_use]
    pub fn expires_at(&self) -> Option<&str> {
        self.text("expires_at")
    }

    /// The origin of the key. An unknown one counts as manual, so that no synchronisation removes it.
    #[must_use]
    pub fn source(&self) -> Source {
        if self.text("source") == Some("api_keys") { Source::Table } else { Source::Manual }
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(Value::as_str)
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let known = FIELDS.iter().filter_map(|name| self.0.get_key_value(*name));
        let other = self.0.iter().filter(|(name, _)| !FIELDS.contains(&name.as_str()));
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        known.chain(other).try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}
