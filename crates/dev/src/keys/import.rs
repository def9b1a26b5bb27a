//! Rows of the product's table `api_keys`, exported as CSV or JSON.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use list_chat_sessions::{
    api_keys::editable::{EditableRing, Entry, Source},
    auth::TokenHash,
};
use serde_json::Value;
use testkit::{keys, terminal::err};
use uuid::Uuid;

use super::COMPACT_DIGITS;

const COLUMNS: [&str; 4] = ["key_hash", "user_id", "name", "is_active"];

/// A row of the table.
pub struct Key {
    pub hash: String,
    user_id: Uuid,
    name: Option<String>,
    is_active: bool,
    expires_at: Option<Timestamp>,
}

/// A row's values by column; NULL is not there.
type Fields = BTreeMap<String, String>;

/// Reads and checks all rows. Errors name the row and the column, and quote neither.
pub fn read(file: &Path) -> Result<Vec<Key>> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
    let rows = if text.trim_start().starts_with('[') { json(&text) } else { csv(&text) };
    let mut numbers = HashMap::new();
    let mut keys = Vec::new();
    for (number, fields) in (1..).zip(rows.with_context(|| name.to_string())?) {
        let key = Key::parse(&fields).with_context(|| format!("{name}: row {number}"))?;
        if let Some(first) = numbers.insert(key.hash.clone(), number) {
            bail!("{name}: row {number} has the key_hash of row {first}");
        }
        keys.push(key);
    }
    Ok(keys)
}

fn json(text: &str) -> Result<Vec<Fields>> {
    let rows: Vec<BTreeMap<String, Value>> = serde_json::from_str(text).map_err(|error| {
        anyhow::anyhow!("it is not a JSON array of objects, at line {} column {}", error.line(), error.column())
    })?;
    let field = |(name, value)| match value {
        Value::Null => None,
        Value::String(text) => Some((name, text)),
        other => Some((name, other.to_string())),
    };
    Ok(rows.into_iter().map(|row| row.into_iter().filter_map(field).collect()).collect())
}

fn csv(text: &str) -> Result<Vec<Fields>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers()?.clone();
    for column in COLUMNS {
        ensure!(header.iter().any(|name| name == column), "it has no column {column}");
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        let fields = header.iter().zip(&record).filter(|(_, value)| !value.is_empty());
        rows.push(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
    }
    Ok(rows)
}

impl Key {
    fn parse(fields: &Fields) -> Result<Self> {
        let field = |name: &str| fields.get(name).map(String::as_str);
        let hash = field("key_hash").filter(|hash| TokenHash::from_hex(hash).is_some());
        let is_active = match field("is_active") {
            Some("true" | "t") => true,
            // As for the product, which looks for `true`.
            Some("false" | "f") | None => false,
            Some(_) => bail!("is_active is not true or false"),
        };
        let expires_at = match field("expires_at") {
            None | Some("infinity") => None,
            Some(time) => Some(time.parse().ok().context("expires_at is not a time with an offset")?),
        };
        Ok(Self {
            hash: hash.context("key_hash is not 64 lower-case hex digits")?.to_owned(),
            user_id: field("user_id").and_then(|id| id.parse().ok()).context("user_id is not a UUID")?,
            name: field("name").map(ToOwned::to_owned),
            is_active,
            expires_at,
        })
    }
}

/// Replaces the synchronised keys that the rows are about. Entries that were added by hand take precedence over rows, and
/// keys without a row stay.
pub fn apply(ring: &mut EditableRing, rows: &[Key]) {
    let short = |hash: &str| hash[..COMPACT_DIGITS].to_owned();
    let by_hand: HashSet<_> = {
        let entries = ring.entries.iter().filter(|entry| entry.source() == Source::Manual);
        entries.map(|entry| short(entry.key_hash())).collect()
    };
    let (skipped, rows): (Vec<_>, Vec<_>) = rows.iter().partition(|key| by_hand.contains(&short(&key.hash)));
    if !skipped.is_empty() {
        err(format_args!("{} rows are skipped: the ring has their keys as hand-made entries", skipped.len()));
    }
    let replaced: HashSet<_> = rows.iter().map(|key| short(&key.hash)).collect();
    ring.compact.retain(|key| !replaced.contains(&keys::hex(&key.hash)));
    let (mut table, by_hand): (Vec<_>, Vec<_>) =
        ring.entries.drain(..).partition(|entry| entry.source() == Source::Table);
    table.retain(|entry| !replaced.contains(&short(entry.key_hash())));
    table.extend(rows.iter().filter(|key| key.is_active).map(|key| {
        let entry = Entry::new(&key.hash, key.user_id, key.name.as_deref(), Source::Table);
        key.expires_at.iter().fold(entry, |entry, time| entry.expiring(&time.to_string()))
    }));
    // As sync-keys sorts them.
    table.sort_by(|a, b| a.key_hash().cmp(b.key_hash()));
    ring.entries = by_hand;
    ring.entries.extend(table);
}
