//! Tests `cargo dev keys` as a process, against the stand-in for Secrets Manager.

use std::{
    fs,
    io::Write,
    process::{Command, Output, Stdio},
    thread,
};

use list_chat_sessions::{
    api_keys::editable::{EditableRing, Entry, Source},
    auth::{KeyRing, TokenHash},
};
use serde_json::json;
use testkit::{ACCOUNT, Secrets, TOKEN, keys, ring};
use tokio::runtime::Runtime;

const ID: &str = "test/api-keys";
const SHARDS: &str = "test/{shard}/api-keys";

/// The stand-in, and the threads that serve it.
struct Stage {
    secrets: Secrets,
    runtime: Runtime,
}

impl Stage {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        Self { secrets: runtime.block_on(Secrets::start()).unwrap(), runtime }
    }

    fn with_ring(ring: String) -> Self {
        let stage = Self::start();
        stage.secrets.put(ID, ring).unwrap();
        stage
    }

    fn keys_with(&self, input: &str, id: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dev"));
        command.args(["keys", arguments[0], "--secret-id", id]).args(&arguments[1..]);
        command.env("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets.url()).env("AWS_REGION", "us-east-1");
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = piped.spawn().unwrap();
        // It may have ended without reading.
        let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
        process.wait_with_output().unwrap()
    }

    fn keys(&self, id: &str, arguments: &[&str]) -> Output {
        self.keys_with("", id, arguments)
    }

    /// Asserts success; returns standard output and standard error.
    fn succeeds(&self, id: &str, arguments: &[&str]) -> (String, String) {
        let output = self.keys(id, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", errors(&output));
        (String::from_utf8(output.stdout.clone()).unwrap(), errors(&output))
    }

    fn secret(&self, name: &str) -> String {
        self.runtime.block_on(async {
            let client = list_chat_sessions::secret::client(&testkit::app::aws(&self.secrets));
            client.get_secret_value().secret_id(name).send().await.unwrap().secret_string.unwrap()
        })
    }

    fn accepts(&self, name: &str, token: &str) -> bool {
        let hash = TokenHash::from_hex(&keys::hash(token)).unwrap();
        KeyRing::parse(&self.secret(name)).unwrap().authenticate(&hash, jiff::Timestamp::now()).is_some()
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn new_prints_a_token_once_and_the_ring_accepts_it() {
    let stage = Stage::with_ring(ring(&[TOKEN]));
    let arguments = ["new", "--account", ACCOUNT, "--name", "ci", "--expires-at", "2099-01-01T00:00:00Z", "--yes"];
    let (token, messages) = stage.succeeds(ID, &arguments);
    let token = token.trim_end();
    assert!(token.len() == 44 && token.starts_with("mgp_"), "{token}");
    assert!(stage.accepts(ID, token) && stage.accepts(ID, TOKEN));
    assert!(messages.contains("2 keys in ") && messages.contains(": 1 added, 0 changed, 0 removed"), "{messages}");
    assert!(messages.contains(&format!("  + {}", &keys::hash(token)[..12])), "{messages}");
    assert!(!messages.contains(token) && !messages.contains(&keys::hash(token)[..13]), "{messages}");
}

#[test]
fn nothing_is_written_by_a_dry_run_or_without_an_answer() {
    let before = ring(&[TOKEN]);
    let stage = Stage::with_ring(before.clone());
    let (token, messages) = stage.succeeds(ID, &["new", "--account", ACCOUNT, "--dry-run"]);
    assert_eq!(token, "");
    assert!(messages.contains("1 added") && messages.contains("--dry-run"), "{messages}");
    let output = stage.keys(ID, &["new", "--account", ACCOUNT]);
    assert!(!output.status.success());
    assert!(errors(&output).contains("standard input is not a terminal: give --yes or --dry-run"), "{output:?}");
    let output = stage.keys(ID, &["new", "--account", ACCOUNT, "--expires-at", "2020-01-01T00:00:00Z", "--yes"]);
    assert!(errors(&output).contains("--expires-at is in the past"), "{output:?}");
    assert_eq!(stage.secret(ID), before);
}

#[test]
fn list_prints_every_key_with_the_beginning_of_its_hash() {
    let mut ring = EditableRing::parse(&ring(&[TOKEN])).unwrap();
    let entry = |number: u32| Entry::new(&keys::hash(&number.to_string()), uuid::Uuid::nil(), Some("k"), Source::Table);
    let mut table: Vec<_> = (0..500).map(entry).collect();
    table[1] = table[1].clone().expiring("2020-01-01T00:00:00Z");
    ring.set_synchronised(table);
    ring.entries.push(Entry::new(&keys::hash("revoked"), uuid::Uuid::nil(), None, Source::Manual).active(false));
    let stage = Stage::with_ring(ring.to_text().unwrap());
    let (table, messages) = stage.succeeds(ID, &["list"]);
    assert_eq!(table.lines().count(), 1 + 500 + 3);
    assert!(messages.contains("503 keys in 1 secrets"), "{messages}");
    let line = |token: &str| {
        let hash = &keys::hash(token)[..12];
        let line = table.lines().find(|line| line.starts_with(hash)).unwrap();
        line.split_whitespace().skip(1).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let nobody = uuid::Uuid::nil().to_string();
    assert_eq!(line(TOKEN), [ACCOUNT, "manual", "active", "never", "test"]);
    assert_eq!(line("0"), [&nobody, "api_keys", "active", "never"]);
    assert_eq!(line("1"), [&nobody, "api_keys", "expired", "2020-01-01T00:00:00Z"]);
    assert_eq!(line("revoked"), [&nobody, "manual", "revoked", "never"]);
}

#[test]
fn revoke_finds_a_key_by_the_beginning_of_its_hash_or_by_its_token() {
    let stage = Stage::with_ring(ring(&[TOKEN, "other"]));
    let prefix = &keys::hash(TOKEN)[..12];
    stage.succeeds(ID, &["revoke", prefix, "--yes"]);
    assert!(!stage.accepts(ID, TOKEN) && stage.accepts(ID, "other"));
    let (_, messages) = stage.succeeds(ID, &["revoke", prefix, "--yes"]);
    assert!(messages.contains("nothing to write"), "{messages}");
    let output = stage.keys_with("other\n", ID, &["revoke", "--token-stdin", "--yes"]);
    assert!(output.status.success() && !stage.accepts(ID, "other"), "{output:?}");
    for (prefix, fault) in [
        ("0123456", "8 to 64 lower-case hex digits"),
        ("mgp_0123456", "8 to 64 lower-case hex digits"),
        ("01234567", "has no such key"),
    ] {
        let output = stage.keys(ID, &["revoke", prefix, "--yes"]);
        assert!(!output.status.success() && errors(&output).contains(fault), "{output:?}");
    }
}

#[test]
fn a_revoked_synchronised_key_becomes_a_hand_made_entry() {
    let mut ring = EditableRing::empty();
    let entry = |number: u32| Entry::new(&keys::hash(&number.to_string()), uuid::Uuid::nil(), None, Source::Table);
    for keys in [2, 1_000] {
        ring.set_synchronised((0..keys).map(entry).collect());
        let stage = Stage::with_ring(ring.to_text().unwrap());
        let prefix = &keys::hash("1")[..12];
        let output = if keys == 2 {
            stage.keys(ID, &["revoke", prefix, "--yes"])
        } else {
            let output = stage.keys(ID, &["revoke", prefix, "--yes"]);
            assert!(errors(&output).contains("in the compact form: revoke it in the product, or give its token"));
            stage.keys_with("1", ID, &["revoke", "--token-stdin", "--yes"])
        };
        assert!(output.status.success(), "{output:?}");
        assert!(!stage.accepts(ID, "1") && stage.accepts(ID, "0"));
        let mut after = EditableRing::parse(&stage.secret(ID)).unwrap();
        assert_eq!((after.len(), after.synchronised()), (keys as usize, keys as usize - 1));
        // The synchronisation leaves it as it is.
        after.set_synchronised(vec![entry(0)]);
        assert!(after.entries.iter().any(|entry| entry.key_hash() == keys::hash("1") && !entry.is_active()));
    }
}

#[test]
fn import_adds_the_rows_of_an_export_and_a_second_time_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let hash = |number: u32| keys::hash(&format!("t{number}"));
    let row = |number| {
        let is_active = if number == 7 { "f" } else { "t" };
        format!("{number},{},{ACCOUNT},\"a, \"\"b\"\"\",{is_active},", hash(number))
    };
    let header = "id,key_hash,user_id,name,is_active,expires_at".to_owned();
    let csv = [header].into_iter().chain((0..1_200).map(row)).collect::<Vec<_>>().join("\n");
    let rows = json!([
        { "key_hash": hash(0), "user_id": ACCOUNT, "name": null, "is_active": false },
        { "key_hash": hash(2_000), "user_id": ACCOUNT, "name": "n", "is_active": true, "expires_at": "2099-01-01 00:00:00+00" },
        { "key_hash": keys::hash(TOKEN), "user_id": ACCOUNT, "name": "by hand", "is_active": false },
    ]);
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let stage = Stage::with_ring(ring(&[TOKEN]));
    let csv = file("keys.csv", csv);
    let (_, messages) = stage.succeeds(ID, &["import", &csv, "--yes"]);
    assert!(
        messages.contains(": 1199 added, 0 changed, 0 removed") && messages.contains("… and 1179 more"),
        "{messages}"
    );
    assert!(
        stage.accepts(ID, "t0") && stage.accepts(ID, "t1199") && !stage.accepts(ID, "t7") && stage.accepts(ID, TOKEN)
    );
    assert!(stage.succeeds(ID, &["import", &csv, "--yes"]).1.contains("nothing to write"));

    let (_, messages) = stage.succeeds(ID, &["import", &file("rows.json", rows.to_string()), "--yes"]);
    assert!(messages.contains("1 rows are skipped"), "{messages}");
    assert!(messages.contains(": 1 added, 0 changed, 1 removed"), "{messages}");
    assert!(!stage.accepts(ID, "t0") && stage.accepts(ID, "t2000") && stage.accepts(ID, TOKEN));

    let header = "key_hash,user_id,name,is_active";
    for (text, fault) in [
        ("key_hash,user_id,name\n".to_owned(), "it has no column is_active"),
        (format!("{header}\nsecret,{ACCOUNT},,t\n"), "row 1: key_hash is not 64 lower-case hex digits"),
        (format!("{header}\n{},secret,,t\n", hash(1)), "row 1: user_id is not a UUID"),
        (format!("{header}\n{},{ACCOUNT},,secret\n", hash(1)), "row 1: is_active is not true or false"),
        (format!("{header}\n{0},{ACCOUNT},,t\n{0},{ACCOUNT},,t\n", hash(1)), "row 2 has the key_hash of row 1"),
        ("[{\"key_hash\": secret}]".to_owned(), "it is not a JSON array of objects, at line 1 column 15"),
    ] {
        let output = stage.keys(ID, &["import", &file("wrong", text), "--yes"]);
        assert!(!output.status.success() && errors(&output).contains(fault), "{fault}: {output:?}");
        assert!(!errors(&output).contains("secret"), "{output:?}");
    }
}

#[test]
fn init_creates_shards_and_keys_go_to_the_shard_of_their_hash() {
    let stage = Stage::start();
    let existing = "test/2/api-keys";
    assert!(keys::hash(TOKEN).starts_with('2'));
    stage.secrets.put(existing, ring(&[TOKEN])).unwrap();
    let (_, messages) = stage.succeeds(SHARDS, &["init", "--shards", "16", "--yes"]);
    assert!(messages.contains("6.40 USD") && messages.contains("15 secrets created, 1 exist already"), "{messages}");
    assert!(stage.accepts(existing, TOKEN), "a secret that exists stays");
    let (token, _) = stage.succeeds(SHARDS, &["new", "--account", ACCOUNT, "--shards", "16", "--yes"]);
    let token = token.trim_end();
    assert!(stage.accepts(&SHARDS.replace("{shard}", &keys::hash(token)[..1]), token));
    let (table, messages) = stage.succeeds(SHARDS, &["list", "--shards", "16"]);
    assert!(table.contains(&keys::hash(token)[..12]), "{table}");
    // The neighbour's key of the ring that was there belongs elsewhere.
    assert!(messages.contains("3 keys in 16 secrets\n1 keys are in the wrong shard"), "{messages}");
    let output = stage.keys(SHARDS, &["list"]);
    assert!(errors(&output).contains("/api-keys: GetSecretValue: Secrets Manager returned ResourceNotFoundException"));
    let output = stage.keys("arn:aws:secretsmanager:us-east-1:1:secret:a", &["init", "--yes"]);
    assert!(errors(&output).contains("--secret-id must be a name here"), "{output:?}");
    let output = stage.keys(ID, &["list", "--shards", "16"]);
    assert!(errors(&output).contains("--secret-id must contain {shard} if a number of shards is set"), "{output:?}");
}

#[test]
fn a_ring_that_does_not_fit_or_is_invalid_stays_as_it_is() {
    let mut ring = EditableRing::empty();
    for number in 0..450 {
        let entry = Entry::new(&keys::hash(&number.to_string()), uuid::Uuid::nil(), None, Source::Manual);
        ring.entries.push(entry);
    }
    while ring.to_text().is_err() {
        ring.entries.pop();
    }
    let full = ring.to_text().unwrap();
    for (text, fault) in [(full, "and a secret holds 65536: use shards"), ("{}".to_owned(), "Repair it by hand first")]
    {
        let stage = Stage::with_ring(text.clone());
        let output = stage.keys(ID, &["new", "--account", ACCOUNT, "--yes"]);
        assert!(!output.status.success() && errors(&output).contains(fault), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "", "no token that does not work");
        assert_eq!(stage.secret(ID), text);
    }
}

#[test]
fn a_change_that_somebody_else_makes_in_the_meantime_is_not_lost() {
    let stage = Stage::with_ring(ring(&[TOKEN]));
    let paused = stage.secrets.pause("UpdateSecretVersionStage");
    let output = thread::scope(|scope| {
        let writing = scope.spawn(|| stage.keys(ID, &["new", "--account", ACCOUNT, "--yes"]));
        stage.runtime.block_on(paused.arrived());
        stage.secrets.put(ID, ring(&["other"])).unwrap();
        drop(paused);
        writing.join().unwrap()
    });
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(errors(&output).contains("it was changed in the meantime, and keeps that change"), "{output:?}");
    assert_eq!(stage.secret(ID), ring(&["other"]));
}
