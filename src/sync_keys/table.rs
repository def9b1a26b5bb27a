//! Reads the product's table `api_keys`.

use std::fmt::Write as _;

use jiff::Timestamp;
use tokio_postgres::{Error as PgError, Row};
use uuid::Uuid;

use crate::{
    api_keys::editable::{Entry, Source},
    auth::{TokenHash, compact::CompactKey},
    clock::Deadline,
    database::{Database, Schema, Statement},
    error::Error,
};

/// The columns that the role may read. `expires_at` is optional.
pub(super) const SCHEMA: Schema = Schema {
    tables: &["api_keys"],
    preferred_tables: &[],
    preferred_column: ("api_keys", "expires_at"),
    role_script: ROLE_SCRIPT,
};

const ROLE_SCRIPT: &str = "docs/sync-keys-role.sql";

/// The characters of a key's name that are kept; the name is only for people who read the ring.
const MAX_NAME_CHARS: usize = 64;

/// The keys of the table.
pub(super) struct Table {
    /// Sorted by hash, without duplicates.
    pub keys: Vec<TableKey>,
    /// All rows, including those that are not in `keys`.
    pub rows: usize,
    /// Rows that are not in `keys` because a value is invalid, or because another row has the same hash and says otherwise.
    pub wrong_rows: usize,
    /// Whether the table has a column `expires_at` that was not read.
    lacks_expiry: bool,
}

/// A row of the table.
#[derive(PartialEq, Eq)]
pub(super) struct TableKey {
    pub hash: TokenHash,
    pub user_id: Uuid,
    pub is_active: bool,
    /// In microseconds since 1970.
    pub expires_at: Option<i64>,
    pub name: Box<str>,
}

impl TableKey {
    fn read(row: &Row) -> Result<Option<Self>, PgError> {
        let (hash, user_id): (Option<&str>, Option<&str>) = (row.try_get(0)?, row.try_get(1)?);
        let (name, is_active): (Option<&str>, bool) = (row.try_get(2)?, row.try_get(3)?);
        // Later times, such as 9999-12-31, mean never, as in a hand-made entry.
        let expires_at = row.try_get::<_, Option<i64>>(4)?.filter(|at| *at <= Timestamp::MAX.as_microsecond());
        let (Some(hash), Some(user_id)) =
            (hash.and_then(TokenHash::from_hex), user_id.and_then(|id| Uuid::parse_str(id).ok()))
        else {
            return Ok(None);
        };
        Ok(Some(Self { hash, user_id, is_active, expires_at, name: name.unwrap_or_default().into() }))
    }

    /// Whether the key is active and has not expired at `now`, in microseconds since 1970.
    pub fn is_live(&self, now: i64) -> bool {
        self.is_active && self.expires_at.is_none_or(|at| now < at)
    }

    /// The hash in lower-case hex.
    pub fn hash_text(&self) -> String {
        self.hash.bytes().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The key in the ring's compact form.
    pub fn to_compact(&self) -> CompactKey {
        CompactKey { hash: self.hash.compact(), user_id: self.user_id, expires_at: self.expires_at }
    }

    /// The key in the ring's compact form, if it is active.
    pub fn to_active(&self) -> Option<CompactKey> {
        self.is_active.then(|| self.to_compact())
    }

    /// The key as a readable entry.
    pub fn to_entry(&self) -> Entry {
        let entry = Entry::new(&self.hash_text(), self.user_id, Some(&self.name), Source::Table);
        match self.expires_at.and_then(|at| Timestamp::from_microsecond(at).ok()) {
            Some(at) => entry.expiring(&at.to_string()),
            None => entry,
        }
    }

    /// Whether both say the same about a token.
    fn agrees_with(&self, other: &Self) -> bool {
        (self.user_id, self.is_active, self.expires_at) == (other.user_id, other.is_active, other.expires_at)
    }
}

impl Table {
    /// Reads all rows, about 100 bytes of memory for each.
    pub async fn read(database: &Database, deadline: Deadline) -> Result<Self, Error> {
        let statement = Statement::new(Vec::new(), select);
        let mut table =
            database.query(&statement, Self::empty, deadline, &mut 0).await.map_err(|error| match error {
                Error::Query(cause) => {
                    Error::Query(format!("{cause}. {ROLE_SCRIPT} grants what reading api_keys needs"))
                }
                error => error,
            })?;
        if table.lacks_expiry {
            return Err(Error::Misconfigured(format!(
                "api_keys has a column expires_at that the role may not read, or a policy that shows it only some rows. Run \
                 {ROLE_SCRIPT} again"
            )));
        }
        table.sort();
        Ok(table)
    }

    fn empty() -> Self {
        Self { keys: Vec::new(), rows: 0, wrong_rows: 0, lacks_expiry: false }
    }

    /// Sorts the keys. If rows with the same hash contradict each other, none of them is kept: which one is right is unknown.
    fn sort(&mut self) {
        self.keys.sort_unstable_by_key(|key| key.hash);
        let before = self.keys.len();
        let mut contradicted = Vec::new();
        self.keys.dedup_by(|next, first| {
            let is_same = next.hash == first.hash;
            if is_same && !next.agrees_with(first) {
                contradicted.push(first.hash);
            }
            is_same
        });
        self.keys.retain(|key| contradicted.binary_search(&key.hash).is_err());
        self.wrong_rows += if contradicted.is_empty() { 0 } else { before - self.keys.len() };
    }
}

impl Extend<Row> for Table {
    fn extend<I: IntoIterator<Item = Row>>(&mut self, rows: I) {
        for row in rows {
            self.rows += 1;
            match TableKey::read(&row) {
                Ok(Some(key)) => self.keys.push(key),
                Ok(None) | Err(_) => self.wrong_rows += 1,
            }
            self.lacks_expiry |= row.try_get(5).unwrap_or(true);
        }
    }
}

/// The statement with and without `expires_at`. The second one also says whether the table has the column after all: the
/// connection falls back to it if the role may not read the column, and a key that has expired must not be accepted.
fn select(has_expiry: bool) -> String {
    let (expires_at, lacks_expiry) = if has_expiry {
        (
            "CASE WHEN expires_at::timestamptz = 'infinity' THEN NULL
                  WHEN expires_at::timestamptz = '-infinity' THEN 0
                  ELSE (extract(epoch FROM expires_at::timestamptz) * 1000000)::bigint END",
            "false",
        )
    } else {
        (
            "NULL::bigint",
            "EXISTS (SELECT FROM pg_attribute
                      WHERE attrelid = 'api_keys'::regclass AND attname = 'expires_at' AND NOT attisdropped)",
        )
    };
    // NULL in `is_active` means revoked, as for the edge function, which looks for `true`.
    format!(
        "-- sync-keys: all keys
SELECT key_hash::text, user_id::text, left(name::text, {MAX_NAME_CHARS}), is_active IS TRUE, {expires_at}, {lacks_expiry}
FROM api_keys"
    )
}
