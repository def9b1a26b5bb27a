//! Keys as rows of a table, and the difference between two rings.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use list_chat_sessions::{
    api_keys::editable::{EditableRing, Source},
    secret::MAX_SECRET_BYTES,
};
use testkit::{keys, terminal::err};

use super::{COMPACT_DIGITS, HASH_DIGITS};

/// The digits of a hash that are shown. Nobody needs more to find a key, and a token cannot be guessed from them.
const SHOWN_DIGITS: usize = 12;

/// The keys that a preview shows.
const MAX_LINES: usize = 20;

/// A key of either form.
#[derive(Clone, PartialEq)]
pub struct Row {
    hash: String,
    account: String,
    source: &'static str,
    state: &'static str,
    expires_at: String,
    /// Keys in the compact form have none.
    name: String,
}

impl Row {
    pub const HEADER: &str =
        "hash          account                               source    state    expires at            name";

    /// The hash with zeros in place of digits that the compact form lacks.
    pub fn padded_hash(&self) -> String {
        format!("{:0<HASH_DIGITS$}", self.hash)
    }

    /// Whether the keys are the same to the function.
    fn is_like(&self, other: &Self) -> bool {
        (&self.account, self.source, self.state, &self.expires_at)
            == (&other.account, other.source, other.state, &other.expires_at)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hash, account, source, state, expires_at, name } = self;
        let row = format!("{:12}  {account:36}  {source:8}  {state:7}  {expires_at:20}  {name}", &hash[..SHOWN_DIGITS]);
        f.write_str(row.trim_end())
    }
}

pub fn rows(ring: &EditableRing, now: Timestamp) -> Vec<Row> {
    let state = |is_active, expires_at: Option<Timestamp>| match (is_active, expires_at) {
        (false, _) => "revoked",
        (true, Some(at)) if at <= now => "expired",
        (true, _) => "active",
    };
    let entries = ring.entries.iter().map(|entry| {
        let expires_at = entry.expires_at().and_then(|time| time.parse().ok());
        Row {
            hash: entry.key_hash().to_owned(),
            account: entry.user_id().to_owned(),
            source: if entry.source() == Source::Table { "api_keys" } else { "manual" },
            state: state(entry.is_active(), expires_at),
            expires_at: entry.expires_at().unwrap_or("never").to_owned(),
            // A name may have characters that a terminal interprets.
            name: entry.name().unwrap_or_default().chars().filter(|char| !char.is_control()).collect(),
        }
    });
    let compact = ring.compact.iter().map(|key| {
        let expires_at = key.expires_at.and_then(|at| Timestamp::from_microsecond(at).ok());
        Row {
            hash: keys::hex(&key.hash),
            account: key.user_id.to_string(),
            source: "api_keys",
            state: state(true, expires_at),
            expires_at: expires_at.map_or("never".to_owned(), |at| at.to_string()),
            name: String::new(),
        }
    });
    entries.chain(compact).collect()
}

/// The lines of a preview.
#[derive(Default)]
pub struct Lines {
    secrets: Vec<String>,
    keys: Vec<String>,
}

impl Lines {
    /// Adds what changes in a secret: its ring before and after, and the bytes of both.
    pub fn add(&mut self, id: &str, (before, after): (&EditableRing, &EditableRing), bytes: (usize, usize)) {
        let now = Timestamp::now();
        let by_hash = |ring| {
            let rows = rows(ring, now).into_iter();
            rows.map(|row| (row.hash[..COMPACT_DIGITS].to_owned(), row)).collect::<BTreeMap<_, _>>()
        };
        let (old, new) = (by_hash(before), by_hash(after));
        let (mut added, mut changed, mut removed) = (0, 0, 0);
        for (hash, row) in &new {
            match old.get(hash) {
                None => {
                    added += 1;
                    self.keys.push(format!("  + {row}"));
                }
                Some(old) if !old.is_like(row) => {
                    changed += 1;
                    self.keys.push(format!("  ~ {row}"));
                }
                Some(_) => {}
            }
        }
        for (_, row) in old.iter().filter(|(hash, _)| !new.contains_key(*hash)) {
            removed += 1;
            self.keys.push(format!("  - {row}"));
        }
        self.secrets.push(format!(
            "secret {id}: {} keys in {} bytes become {} in {} of {MAX_SECRET_BYTES}, {} of them compact: \
             {added} added, {changed} changed, {removed} removed",
            before.len(),
            bytes.0,
            after.len(),
            bytes.1,
            after.compact.len()
        ));
    }

    pub fn print(&self) {
        for lines in [&self.secrets, &self.keys] {
            lines.iter().take(MAX_LINES).for_each(err);
            if lines.len() > MAX_LINES {
                err(format_args!("  … and {} more", lines.len() - MAX_LINES));
            }
        }
    }
}
