//! The compact form of keys, alone and next to entries, and the model with which programs change a ring.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use list_chat_sessions::{
    api_keys::editable::{EditableRing, Entry, Source},
    auth::{
        BearerToken, KeyRing,
        compact::{self, CompactKey},
    },
    secret::MAX_SECRET_BYTES,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use testkit::{ACCOUNT, NEIGHBOUR, TOKEN, keys, request};
use uuid::Uuid;

fn token(number: usize) -> String {
    format!("mgp_{number:040x}")
}

fn user_id(number: usize) -> Uuid {
    Uuid::from_u128(number as u128 + 1)
}

/// An entry that a synchronisation made.
fn synchronised(number: usize) -> Entry {
    Entry::new(&keys::hash(&token(number)), user_id(number), Some("production"), Source::Table)
}

fn account(ring: &KeyRing, token: &str, now: &str) -> Option<Uuid> {
    let request = lambda_http::request::from_str(&request::post(token, "{}").to_string()).unwrap();
    let hash = BearerToken::from_headers(request.headers()).unwrap().hash();
    ring.authenticate(&hash, now.parse().unwrap()).map(|caller| *caller.user_id())
}

const NOW: &str = "2026-01-01T00:00:00Z";

/// Returns the two lists of records of a secret, which can then be changed.
fn records(keys: &[CompactKey]) -> [Vec<u8>; 2] {
    let compact = compact::encode(keys);
    ["keys", "expiring"].map(|name| STANDARD.decode(compact[name].as_str().unwrap()).unwrap())
}

fn compact_key(token: &str, user_id: &str, expires_at: Option<&str>) -> CompactKey {
    let time = |time: &str| time.parse::<Timestamp>().unwrap().as_microsecond();
    let hash = std::array::from_fn(|at| u8::from_str_radix(&keys::hash(token)[2 * at..][..2], 16).unwrap());
    CompactKey { hash, user_id: user_id.parse().unwrap(), expires_at: expires_at.map(time) }
}

#[test]
fn one_secret_holds_1200_synchronised_keys_and_each_works() {
    let mut ring = EditableRing::empty();
    ring.set_synchronised((0..1_200).map(synchronised).collect());
    let text = ring.to_text().unwrap();
    assert!(text.len() <= MAX_SECRET_BYTES, "{} bytes", text.len());
    let ring = KeyRing::parse(&text).unwrap();
    for number in 0..1_200 {
        assert_eq!(account(&ring, &token(number), NOW), Some(user_id(number)));
    }
    assert_eq!(account(&ring, &token(1_200), NOW), None);
}

#[test]
fn a_full_secret_is_written_and_one_key_more_gives_the_limit_the_size_and_the_number_of_keys() {
    let text = |keys: usize| {
        let mut ring = EditableRing::empty();
        ring.set_synchronised((0..keys).map(synchronised).collect());
        ring.to_text()
    };
    let full = (1_300..1_400).find(|keys| text(keys + 1).is_err()).unwrap();
    assert!(full >= 1_360, "{full} keys");
    let ring = KeyRing::parse(&text(full).unwrap()).unwrap();
    assert_eq!(account(&ring, &token(full - 1), NOW), Some(user_id(full - 1)));
    let error = text(full + 1).unwrap_err();
    assert!(error.starts_with(&format!("{} keys have 655", full + 1)), "{error}");
    assert!(error.ends_with(" bytes in the compact form, and a secret holds 65536: use shards"), "{error}");
}

#[test]
fn entries_stay_readable_as_long_as_they_fit() {
    let mut ring = EditableRing::empty();
    ring.set_synchronised((0..300).map(synchronised).collect());
    let text = ring.to_text().unwrap();
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["api_keys"].as_array().unwrap().len(), 300);
    assert_eq!(json.get("compact"), None);
    let hash = keys::hash(&token(0));
    let line = format!(
        "{{\"key_hash\":\"{hash}\",\"user_id\":\"{}\",\"name\":\"production\",\"is_active\":true,\"source\":\"api_keys\"}}",
        user_id(0)
    );
    assert!(text.lines().any(|found| found.trim_end_matches(',') == line), "{line}");
}

#[test]
fn entries_added_by_hand_and_unknown_fields_stay_in_either_form() {
    let manual =
        json!({ "key_hash": keys::hash(TOKEN), "user_id": ACCOUNT, "note": { "owner": "a" }, "expires_at": null });
    let secret = json!({ "api_keys": [manual], "comment": "keep" }).to_string();
    let mut ring = EditableRing::parse(&secret).unwrap();
    for (keys, is_compact) in [(2, false), (1_200, true), (0, false)] {
        ring.set_synchronised((0..keys).map(synchronised).collect());
        let text = ring.to_text().unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["api_keys"][0], manual);
        assert_eq!(json["comment"], "keep");
        assert_eq!(json.get("compact").is_some(), is_compact, "{keys} keys");
        ring = EditableRing::parse(&text).unwrap();
        assert_eq!((ring.len(), ring.synchronised()), (keys + 1, keys));
        assert_eq!(account(&KeyRing::parse(&text).unwrap(), TOKEN, NOW), Some(ACCOUNT.parse().unwrap()));
    }
}

#[test]
fn revoked_keys_are_left_out_of_the_compact_form_and_expiring_ones_expire() {
    let mut ring = EditableRing::empty();
    let mut entries: Vec<_> = (0..1_000).map(synchronised).collect();
    entries[1] = synchronised(1).active(false);
    entries[2] = synchronised(2).expiring("2025-12-31T23:59:59.999999Z");
    entries[3] = synchronised(3).expiring("2026-01-01T00:00:00.000000001Z");
    entries[4] = synchronised(4).expiring("9999-12-31T23:59:59Z");
    ring.set_synchronised(entries);
    let text = ring.to_text().unwrap();
    assert_eq!(EditableRing::parse(&text).unwrap().compact.len(), 999);
    let ring = KeyRing::parse(&text).unwrap();
    let known: Vec<_> = (0..6).map(|number| account(&ring, &token(number), NOW).is_some()).collect();
    assert_eq!(known, [true, false, false, true, true, true]);
}

#[test]
fn a_compact_secret_without_entries_is_a_ring() {
    let compact = compact::encode(&[compact_key(TOKEN, ACCOUNT, None)]);
    for secret in [json!({ "compact": compact }), json!({ "api_keys": null, "compact": compact })] {
        let ring = KeyRing::parse(&secret.to_string()).unwrap();
        assert_eq!(account(&ring, TOKEN, NOW), Some(ACCOUNT.parse().unwrap()));
        assert_eq!(format!("{ring:?}"), "KeyRing { keys: 1, .. }");
    }
}

#[test]
fn an_invalid_compact_form_is_described_without_quoting_it() {
    let secret = |version: Value, keys: Value, expiring: Value| {
        json!({ "compact": { "version": version, "keys": keys, "expiring": expiring } }).to_string()
    };
    let [keys, _] = records(&[compact_key(TOKEN, ACCOUNT, None), compact_key(&token(1), NEIGHBOUR, None)]);
    let [_, expiring] = records(&[compact_key(TOKEN, ACCOUNT, Some(NOW))]);
    let lasting = |records: &[&[u8]]| secret(json!(1), json!(STANDARD.encode(records.concat())), json!(""));
    let (first, second) = keys.split_at(36);
    for (secret, fault) in [
        (json!({ "compact": "secret" }).to_string(), "compact is not an object"),
        (secret(json!(2), json!(""), json!("")), "compact.version is not 1"),
        (secret(json!("1"), json!(""), json!("")), "compact.version is not 1"),
        (json!({ "compact": { "keys": "", "expiring": "" } }).to_string(), "compact.version is not 1"),
        (json!({ "compact": { "version": 1, "expiring": "" } }).to_string(), "compact.keys is not a string"),
        (json!({ "compact": { "version": 1, "keys": "" } }).to_string(), "compact.expiring is not a string"),
        (secret(json!(1), json!("secret!"), json!("")), "compact.keys is not base64"),
        // White space, a missing padding, the URL's alphabet.
        (secret(json!(1), json!("AA==\n"), json!("")), "compact.keys is not base64"),
        (secret(json!(1), json!("AA"), json!("")), "compact.keys is not base64"),
        (secret(json!(1), json!(""), json!("-_==")), "compact.expiring is not base64"),
        (lasting(&[&keys[1..]]), "compact.keys does not consist of records of 36 bytes"),
        (
            secret(json!(1), json!(""), json!(STANDARD.encode(&expiring[1..]))),
            "compact.expiring does not consist of records of 44 bytes",
        ),
        (lasting(&[second, first]), "compact.keys[1] is not sorted by hash"),
        (lasting(&[first, second, second]), "compact.keys[2] repeats a hash"),
        (
            secret(json!(1), json!(STANDARD.encode(&keys)), json!(STANDARD.encode(&expiring))),
            "compact.keys and compact.expiring have the same hash: remove one of them",
        ),
        (json!({ "api_keys": {}, "compact": compact::encode(&[]) }).to_string(), "it has no array \"api_keys\""),
    ] {
        assert_eq!(KeyRing::parse(&secret).unwrap_err(), fault, "{secret}");
        assert!(EditableRing::parse(&secret).is_err());
    }
}

#[test]
fn an_entry_that_contradicts_a_compact_key_makes_the_ring_invalid() {
    let entry = json!({ "key_hash": keys::hash(TOKEN), "user_id": ACCOUNT });
    let with = |field: &str, value: Value, expires_at| {
        let mut entry = entry.clone();
        entry[field] = value;
        let compact = compact::encode(&[compact_key(TOKEN, ACCOUNT, expires_at)]);
        KeyRing::parse(&json!({ "api_keys": [entry], "compact": compact }).to_string())
    };
    for (field, value) in
        [("user_id", json!(NEIGHBOUR)), ("is_active", json!(false)), ("expires_at", json!("2027-01-01T00:00:00Z"))]
    {
        let expected = format!("api_keys[0] has the key_hash of a compact key and another {field}: remove one of them");
        assert_eq!(with(field, value, None).unwrap_err(), expected);
    }
    // Hashes whose first 160 bits are equal are the same key.
    let hash = format!("{}{}", &keys::hash(TOKEN)[..40], &keys::hash(NEIGHBOUR)[40..]);
    assert!(with("key_hash", json!(hash), Some(NOW)).is_err());
    assert!(with("name", json!("same"), None).is_ok());
    assert!(with("expires_at", json!("2026-01-01T01:00:00+01:00"), Some(NOW)).is_ok());
}

#[test]
fn a_ring_that_would_contradict_itself_is_not_written() {
    let mut ring = EditableRing::empty();
    ring.entries.push(Entry::new(&keys::hash(&token(0)), user_id(0), None, Source::Manual));
    for keys in [1, 1_200] {
        let mut entries: Vec<_> = (0..keys).map(synchronised).collect();
        entries[0] = synchronised(0).active(false);
        ring.set_synchronised(entries);
        let error = ring.to_text().unwrap_err();
        assert!(
            error.ends_with("has the key_hash of api_keys[0] and another is_active: remove one of them"),
            "{error}"
        );
    }
}

#[test]
fn all_bits_of_an_entry_are_compared_and_160_of_a_compact_key() {
    let hash = keys::hash(TOKEN);
    let other_end = format!("{}{}", &hash[..63], if hash.ends_with('0') { '1' } else { '0' });
    let entry = Entry::new(&other_end, ACCOUNT.parse().unwrap(), None, Source::Manual);
    let mut ring = EditableRing::empty();
    ring.entries.push(entry);
    assert_eq!(account(&KeyRing::parse(&ring.to_text().unwrap()).unwrap(), TOKEN, NOW), None);
    for bit in 0..161 {
        let mut key = compact_key(TOKEN, ACCOUNT, None);
        if bit < 160 {
            key.hash[bit / 8] ^= 1 << (bit % 8);
        }
        let ring = KeyRing::parse(&json!({ "compact": compact::encode(&[key]) }).to_string()).unwrap();
        assert_eq!(account(&ring, TOKEN, NOW).is_some(), bit == 160, "bit {bit}");
    }
}

proptest! {
    #[test]
    fn decoding_returns_the_keys_that_were_encoded(
        keys in prop::collection::btree_map(any::<[u8; 20]>(), (any::<u128>(), any::<Option<i64>>()), 0..50)
    ) {
        let keys: Vec<_> = keys
            .into_iter()
            .map(|(hash, (user_id, expires_at))| CompactKey { hash, user_id: Uuid::from_u128(user_id), expires_at })
            .collect();
        let mut shuffled = keys.clone();
        fastrand::shuffle(&mut shuffled);
        prop_assert!(compact::decode(&compact::encode(&shuffled)).unwrap() == keys);
    }

    #[test]
    fn encoding_returns_the_text_that_was_decoded(
        hashes in prop::collection::btree_set(any::<[u8; 20]>(), 0..50), expiring in any::<u64>()
    ) {
        let mut records = [Vec::new(), Vec::new()];
        for (at, hash) in hashes.iter().enumerate() {
            let expires = expiring >> at & 1 == 1;
            let record = &mut records[usize::from(expires)];
            record.extend_from_slice(hash);
            record.extend_from_slice(&[7; 16]);
            record.extend_from_slice(if expires { &[1; 8] } else { &[] });
        }
        let [keys, expiring] = records.map(|records| STANDARD.encode(records));
        let compact = json!({ "version": 1, "keys": keys, "expiring": expiring });
        prop_assert_eq!(compact::encode(&compact::decode(&compact).unwrap()), compact);
    }
}
