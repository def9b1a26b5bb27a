//! Compares one key ring with the keys of the table that belong into it.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
};

use super::table::TableKey;
use crate::{
    api_keys::editable::{EditableRing, Source},
    auth::compact::{CompactKey, HASH_BYTES},
};

/// The difference between a ring and the table.
pub(super) struct Comparison<'a> {
    /// The table's live keys that no hand-made entry has, sorted by hash.
    pub wanted: Vec<&'a TableKey>,
    /// Keys that the ring gets, other than by a change of a key that it has.
    pub added: usize,
    /// Keys that the ring loses.
    pub removed: usize,
    /// Keys whose account, expiry or name changes.
    pub changed: usize,
    /// Synchronised keys of the ring.
    pub synchronised: usize,
    /// Those of them that the table has, live or not.
    pub known: usize,
    /// Hand-made entries whose key the table has with another account, activity or expiry.
    pub contradictions: usize,
}

impl<'a> Comparison<'a> {
    /// Compares at `now`, in microseconds since 1970. `keys` are sorted by hash.
    ///
    /// Keys that have expired are not removed from the ring until it changes anyway, because the listing function checks the
    /// expiry itself, and each change costs one of the secret's versions.
    pub fn new(ring: &EditableRing, keys: &'a [TableKey], now: i64) -> Self {
        let find = |hash: &[u8; HASH_BYTES]| find(keys, hash);
        let mut contradictions = 0;
        let mut by_hand = BTreeSet::new();
        for (hash, key) in ring.keys(Source::Manual) {
            contradictions += usize::from(find(&hash).is_some_and(|of_table| of_table.to_active() != key));
            by_hand.insert(hash);
        }
        let wanted: Vec<_> =
            keys.iter().filter(|key| key.is_live(now) && !by_hand.contains(&key.hash.compact())).collect();
        let synchronised = ring.keys(Source::Table);
        let known = synchronised.iter().filter(|(hash, _)| find(hash).is_some()).count();
        let names: HashMap<_, _> = ring.entries.iter().map(|entry| (entry.key_hash(), entry.name())).collect();
        let is_current = |key: &CompactKey| key.expires_at.is_none_or(|at| now < at);
        let mut current: Vec<_> = synchronised.iter().filter_map(|(_, key)| key.clone()).filter(is_current).collect();
        current.sort();
        let position = |hash: &[u8; HASH_BYTES]| current.binary_search_by(|key| key.hash.cmp(hash));
        // A key in the compact form has none.
        let has_name = |key: &TableKey| {
            names.get(key.hash_text().as_str()).is_none_or(|name| name.unwrap_or_default() == &*key.name)
        };
        let (mut added, mut changed) = (0, 0);
        for key in &wanted {
            match position(&key.hash.compact()) {
                Err(_) => added += 1,
                Ok(at) => changed += usize::from(current[at] != key.to_compact() || !has_name(key)),
            }
        }
        let kept = wanted.len() - added;
        let removed = current.len() - kept;
        Self { wanted, added, removed, changed, synchronised: synchronised.len(), known, contradictions }
    }

    /// Whether the ring needs a new version.
    pub fn differs(&self) -> bool {
        self.added + self.removed + self.changed > 0
    }

    /// The ring's new text.
    ///
    /// # Errors
    ///
    /// As [`EditableRing::to_text`].
    pub fn new_text(&self, ring: &EditableRing) -> Result<String, String> {
        let mut ring = ring.clone();
        ring.set_synchronised(self.wanted.iter().map(|key| key.to_entry()).collect());
        ring.to_text()
    }
}

fn find<'a>(keys: &'a [TableKey], hash: &[u8; HASH_BYTES]) -> Option<&'a TableKey> {
    keys.binary_search_by(|key| key.hash.compact().cmp(hash)).ok().map(|at| &keys[at])
}

/// A number that changes when the live keys change.
pub(super) fn fingerprint(keys: &[TableKey], now: i64) -> u64 {
    let mut hasher = DefaultHasher::new();
    for key in keys.iter().filter(|key| key.is_live(now)) {
        (key.hash, key.user_id.as_u128(), key.expires_at, &key.name).hash(&mut hasher);
    }
    hasher.finish()
}
