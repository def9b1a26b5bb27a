//! `sync-keys`: the product's table of keys is copied into the key ring. Both functions run as real processes, on a database
//! like the product's, and each event of `sync-keys` is one tick of its schedule.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use list_chat_sessions::auth::{KeyRing, TokenHash};
use serde_json::{Value, json};
use testkit::{
    ACCOUNT, Database, Function, FunctionOptions, NEIGHBOUR, Outcome, Secrets, SecretsFault, Server, TOKEN, binary,
    database, end_connections, environment::lines, keys, process, product_database, request, role, secrecy,
    sync_keys_binary,
};
use tokio::sync::Mutex;
use tokio_postgres::Client;

const RING: &str = "keys";

/// Keys of the table.
const FIRST: &str = "mgp_1111111111111111111111111111111111111111";
const SECOND: &str = "mgp_2222222222222222222222222222222222222222";

/// A ring with a key that was added by hand, [`TOKEN`], with fields that no program knows.
fn ring_by_hand() -> Value {
    json!({ "api_keys": [{
        "key_hash": keys::hash(TOKEN), "user_id": ACCOUNT, "name": "by hand", "is_active": true, "ticket": [1.5, { "b": 1, "a": null }],
    }] })
}

/// Both functions, their database and their secrets.
struct World {
    database: Database,
    admin: Client,
    secrets: Secrets,
    variables: Vec<(&'static str, String)>,
    sync: Function,
}

/// A server for these tests, because a database like the product's changes its roles.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start().unwrap())
}

/// Databases are made one at a time, because PostgreSQL rejects concurrent changes of a role.
async fn database() -> Database {
    static TURN: Mutex<()> = Mutex::const_new(());
    let _turn = TURN.lock().await;
    let database = product_database::create(server()).await.unwrap();
    role::create_sync_keys(&database.client().await.unwrap()).await.unwrap();
    database
}

impl World {
    /// Starts with the ring of [`ring_by_hand`] and an empty table.
    async fn start() -> Self {
        Self::start_with(RING, &[(RING.to_owned(), ring_by_hand().to_string())]).await
    }

    async fn start_with(secret_id: &str, rings: &[(String, String)]) -> Self {
        let database = database().await;
        let users = format!(
            "INSERT INTO users (id, email) VALUES ('{ACCOUNT}', 'a@example.com'), ('{NEIGHBOUR}', 'b@example.com')"
        );
        database.load(&users).await.unwrap();
        let secrets = Secrets::start().await.unwrap();
        for (name, ring) in rings {
            secrets.put(name, ring.as_str()).unwrap();
        }
        let variables = vec![
            ("API_KEYS_SECRET_ID", secret_id.to_owned()),
            ("DATABASE_URL", role::url_of(role::SYNC_KEYS, server().port(), database.name())),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.url().to_owned()),
            ("QUERY_TIMEOUT_MS", "20000".to_owned()),
        ];
        let sync = start_sync(&variables).await;
        let admin = database.client().await.unwrap();
        Self { database, admin, secrets, variables, sync }
    }

    /// Another environment of `sync-keys`.
    async fn other_sync(&self) -> Function {
        start_sync(&self.variables).await
    }

    /// The listing function, which refreshes the ring after a second.
    async fn listing(&self) -> Function {
        let secret_id = self.variables[0].1.as_str();
        let env = [
            ("API_KEYS_SECRET_ID", secret_id),
            ("DATABASE_URL", self.database.url()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets.url()),
            ("API_KEYS_MAX_AGE_SECONDS", "1"),
        ];
        Function::start(FunctionOptions::new(binary(), &env)).await.unwrap()
    }

    async fn execute(&self, sql: &str) {
        self.admin.batch_execute(sql).await.unwrap_or_else(|error| panic!("{error:?}: {sql}"));
    }

    /// Makes a key as the dashboard does.
    async fn make_key(&self, token: &str, account: &str) {
        secrecy::keep_token(token);
        let hash = keys::hash(token);
        self.execute(&format!(
            "INSERT INTO api_keys (user_id, name, key_prefix, key_hash) VALUES ('{account}', 'made', 'mgp_', '{hash}')"
        ))
        .await;
    }

    async fn make_keys(&self, count: usize) {
        self.execute(&format!(
            "INSERT INTO api_keys (user_id, name, key_prefix, key_hash)
             SELECT '{ACCOUNT}', 'key ' || n, 'mgp_', encode(sha256(n::text::bytea), 'hex') FROM generate_series(1, {count}) n"
        ))
        .await;
    }

    async fn revoke(&self, token: &str) {
        self.execute(&format!("UPDATE api_keys SET is_active = false WHERE key_hash = '{}'", keys::hash(token))).await;
    }

    async fn run(&self) -> Result<Value, String> {
        run(&self.sync).await
    }

    async fn run_fails_with(&self, words: &str) {
        let error = self.run().await.expect_err(words);
        assert!(error.contains(words), "{error}\n{words}");
        let lines = lines(&self.sync);
        let line = lines.last().unwrap();
        assert_eq!((&line["level"], line["cause"].as_str()), (&json!("ERROR"), Some(error.as_str())), "{line}");
    }

    fn ring(&self) -> Value {
        serde_json::from_str(&self.secrets.current(RING).0).unwrap()
    }

    /// The tokens of these that the ring accepts.
    fn accepted(&self) -> Vec<&'static str> {
        let ring = KeyRing::parse(&self.secrets.current(RING).0).unwrap();
        let accepts = |token: &&str| {
            let hash = TokenHash::from_hex(&keys::hash(token)).unwrap();
            ring.authenticate(&hash, Timestamp::now()).is_some()
        };
        [TOKEN, FIRST, SECOND].into_iter().filter(accepts).collect()
    }
}

async fn start_sync(variables: &[(&'static str, String)]) -> Function {
    let env: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let timeout = Duration::from_secs(50);
    Function::start(FunctionOptions { timeout, ..FunctionOptions::new(sync_keys_binary(), &env) }).await.unwrap()
}

/// One tick of the schedule. EventBridge's event has no meaning for the function.
async fn run(sync: &Function) -> Result<Value, String> {
    let event = json!({ "source": "aws.events", "detail-type": "Scheduled Event" });
    match sync.invoke(event.to_string()).await.unwrap() {
        Outcome::Response(summary) => Ok(summary),
        Outcome::Error(error) => Err(error["errorMessage"].as_str().unwrap().to_owned()),
    }
}

async fn status(listing: &Function, token: &str) -> u64 {
    let event = request::post(token, "{}").to_string();
    let response = listing.invoke(event).await.unwrap().response().unwrap();
    response["statusCode"].as_u64().unwrap()
}

#[tokio::test]
async fn a_key_made_in_the_table_works_after_the_next_run_and_a_revoked_one_stops() {
    let world = World::start().await;
    let listing = world.listing().await;
    assert_eq!(status(&listing, FIRST).await, 401);
    world.make_key(FIRST, ACCOUNT).await;
    world.make_key(SECOND, NEIGHBOUR).await;
    let summary = world.run().await.unwrap();
    assert_eq!((&summary["added"], &summary["written"]), (&json!(2), &json!(1)), "{summary}");
    // An unknown token makes the function fetch the ring again, once a second.
    let made = Instant::now();
    while status(&listing, FIRST).await == 401 {
        assert!(made.elapsed() < Duration::from_secs(2), "a new key does not work");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((status(&listing, SECOND).await, status(&listing, TOKEN).await), (200, 200));

    world.revoke(FIRST).await;
    let summary = world.run().await.unwrap();
    assert_eq!((&summary["removed"], &summary["written"]), (&json!(1), &json!(1)), "{summary}");
    let fetches = world.secrets.calls(RING);
    let mut outcome = status(&listing, FIRST).await;
    while world.secrets.calls(RING) == fetches {
        tokio::time::sleep(Duration::from_millis(50)).await;
        outcome = status(&listing, FIRST).await;
    }
    assert_eq!(outcome, 401, "the request that fetched the ring first after the run accepts a revoked key");
    assert_eq!((status(&listing, SECOND).await, status(&listing, TOKEN).await), (200, 200));
}

#[tokio::test]
async fn a_run_without_a_difference_writes_nothing() {
    let world = World::start().await;
    world.make_key(FIRST, ACCOUNT).await;
    world.run().await.unwrap();
    let (text, versions) = (world.secrets.current(RING).0, world.secrets.versions(RING));
    let summary = world.run().await.unwrap();
    let expected = json!({ "rows": 1, "keys": 1, "added": 0, "removed": 0, "changed": 0, "written": 0, "wrong_rows": 0,
                           "contradictions": 0 });
    assert_eq!(summary, expected);
    assert_eq!((world.secrets.current(RING).0, world.secrets.versions(RING)), (text, versions));
}

#[tokio::test]
async fn hand_made_entries_keep_their_fields_in_both_forms() {
    let world = World::start().await;
    let by_hand = ring_by_hand()["api_keys"][0].clone();
    world.make_keys(3).await;
    world.run().await.unwrap();
    assert_eq!(world.ring()["api_keys"][0], by_hand);
    assert_eq!(world.ring()["api_keys"][1]["source"], "api_keys");
    world.execute("TRUNCATE api_keys").await;
    world.make_keys(1_200).await;
    world.run().await.unwrap();
    assert_eq!(world.ring()["api_keys"], json!([by_hand]));
    assert!(world.ring()["compact"].is_object(), "1,200 keys fit only in the compact form");
    let summary = world.run().await.unwrap();
    assert_eq!((&summary["keys"], &summary["written"]), (&json!(1_200), &json!(0)), "{summary}");
}

#[tokio::test]
async fn a_changed_account_or_name_changes_the_ring() {
    let world = World::start().await;
    world.make_key(FIRST, ACCOUNT).await;
    world.run().await.unwrap();
    for (sql, field, value) in
        [(format!("user_id = '{NEIGHBOUR}'"), "user_id", NEIGHBOUR), ("name = 'renamed'".into(), "name", "renamed")]
    {
        world.execute(&format!("UPDATE api_keys SET {sql}")).await;
        assert_eq!(world.run().await.unwrap()["changed"], 1, "{field}");
        assert_eq!(world.ring()["api_keys"][1][field], value);
        assert_eq!(world.run().await.unwrap()["written"], 0, "{field}");
    }
}

#[tokio::test]
async fn a_delayed_run_does_not_bring_a_revoked_key_back() {
    for operation in ["GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"] {
        let world = World::start().await;
        let other = world.other_sync().await;
        world.make_key(FIRST, ACCOUNT).await;
        world.make_key(SECOND, ACCOUNT).await;
        let paused = world.secrets.pause(operation);
        let (delayed, ()) = tokio::join!(world.run(), async {
            paused.arrived().await;
            world.revoke(FIRST).await;
            run(&other).await.unwrap();
            assert_eq!(world.accepted(), [TOKEN, SECOND], "{operation}");
            drop(paused);
        });
        delayed.unwrap();
        assert_eq!(world.accepted(), [TOKEN, SECOND], "{operation}");
    }
}

#[tokio::test]
async fn a_change_by_hand_during_a_run_stays() {
    let world = World::start().await;
    world.make_key(FIRST, ACCOUNT).await;
    let paused = world.secrets.pause("UpdateSecretVersionStage");
    let added = json!({ "key_hash": keys::hash(SECOND), "user_id": NEIGHBOUR, "source": "manual" });
    let (outcome, ()) = tokio::join!(world.run(), async {
        paused.arrived().await;
        let mut ring = ring_by_hand();
        ring["api_keys"].as_array_mut().unwrap().push(added.clone());
        world.secrets.put(RING, ring.to_string()).unwrap();
        drop(paused);
    });
    outcome.unwrap();
    assert_eq!(world.accepted(), [TOKEN, FIRST, SECOND]);
    assert_eq!(world.ring()["api_keys"][1], added);
}

#[tokio::test]
async fn a_run_that_meets_a_change_every_time_gives_up_and_the_next_one_succeeds() {
    let world = World::start().await;
    world.make_key(FIRST, ACCOUNT).await;
    let mut rounds = 0;
    let mut paused = world.secrets.pause("UpdateSecretVersionStage");
    let mut running = Box::pin(world.run());
    let error = loop {
        tokio::select! {
            outcome = &mut running => break outcome.unwrap_err(),
            () = paused.arrived() => {
                rounds += 1;
                world.secrets.put(RING, format!("{} ", world.secrets.current(RING).0)).unwrap();
                paused = world.secrets.pause("UpdateSecretVersionStage");
            }
        }
    };
    assert!(error.contains("was changed 4 times while this run compared it"), "{error}");
    assert_eq!(rounds, 4);
    drop(paused);
    world.run().await.unwrap();
    assert_eq!(world.accepted(), [TOKEN, FIRST]);
}

#[tokio::test]
async fn a_run_that_ends_between_its_two_calls_is_finished_by_the_next_one_without_another_version() {
    let world = World::start().await;
    world.make_key(FIRST, ACCOUNT).await;
    world.secrets.fail_operation("UpdateSecretVersionStage", SecretsFault::Silent);
    let paused = world.secrets.pause("UpdateSecretVersionStage");
    tokio::select! {
        outcome = world.run() => panic!("{outcome:?}"),
        () = paused.arrived() => {}
    }
    let other = world.other_sync().await;
    drop(paused);
    world.secrets.fail_operation("UpdateSecretVersionStage", None);
    assert_eq!((world.accepted(), world.secrets.versions(RING)), (vec![TOKEN], 2));
    run(&other).await.unwrap();
    assert_eq!((world.accepted(), world.secrets.versions(RING)), (vec![TOKEN, FIRST], 2));
}

#[tokio::test]
async fn an_emptied_table_keeps_its_keys_until_a_second_run_finds_it_empty_too() {
    let world = World::start().await;
    world.make_key(FIRST, ACCOUNT).await;
    world.run().await.unwrap();
    let rows = "CREATE TABLE saved AS TABLE api_keys; TRUNCATE api_keys";
    world.execute(rows).await;
    let versions = world.secrets.versions(RING);
    world.run_fails_with("api_keys has none of the 1 synchronised keys").await;
    assert_eq!((world.accepted(), world.secrets.versions(RING)), (vec![TOKEN, FIRST], versions));

    // It was a mistake.
    world.execute("INSERT INTO api_keys TABLE saved").await;
    world.run().await.unwrap();
    assert!(!world.secrets.current(RING).1.contains(&"SYNC_KEYS_MISSING".to_owned()));
    world.execute("TRUNCATE api_keys").await;
    world.run_fails_with("api_keys has none of the 1 synchronised keys").await;
    assert_eq!(world.accepted(), [TOKEN, FIRST]);

    // The next run is in another environment.
    let other = world.other_sync().await;
    assert_eq!(run(&other).await.unwrap()["removed"], 1);
    assert_eq!(world.accepted(), [TOKEN]);
    world.make_key(SECOND, ACCOUNT).await;
    world.run().await.unwrap();
    assert_eq!(world.accepted(), [TOKEN, SECOND]);
}

#[tokio::test]
async fn another_database_does_not_replace_all_keys_in_one_run() {
    let world = World::start().await;
    world.make_key(FIRST, ACCOUNT).await;
    world.run().await.unwrap();
    world.execute("DELETE FROM api_keys").await;
    world.make_key(SECOND, ACCOUNT).await;
    world.run_fails_with("is it empty, or of another database?").await;
    assert_eq!(world.accepted(), [TOKEN, FIRST]);
    world.run().await.unwrap();
    assert_eq!(world.accepted(), [TOKEN, SECOND]);
}

#[tokio::test]
async fn the_only_key_can_be_revoked_in_one_run() {
    let world = World::start().await;
    world.make_key(FIRST, ACCOUNT).await;
    world.run().await.unwrap();
    world.revoke(FIRST).await;
    world.run().await.unwrap();
    assert_eq!(world.accepted(), [TOKEN]);
}

#[tokio::test]
async fn rows_that_the_role_cannot_see_fail_the_run() {
    let world = World::start().await;
    world.make_key(FIRST, ACCOUNT).await;
    world.run().await.unwrap();
    let before = world.secrets.current(RING);
    for (sql, words) in [
        (
            "DROP POLICY sync_keys ON api_keys",
            "row level security may hide rows from the function's role: api_keys. Run docs/sync-keys-role.sql",
        ),
        (
            "REVOKE SELECT (user_id) ON api_keys FROM sync_keys",
            "permission denied for table api_keys. docs/sync-keys-role.sql grants",
        ),
        ("ALTER TABLE api_keys ADD expires_at timestamptz", "expires_at that the role may not read"),
    ] {
        world.execute(sql).await;
        end_connections(&world.admin).await.unwrap();
        world.run_fails_with(words).await;
        assert_eq!(world.secrets.current(RING), before, "{sql}");
        role::create_sync_keys(&world.admin).await.unwrap();
        end_connections(&world.admin).await.unwrap();
        world.run().await.unwrap();
    }
}

#[tokio::test]
async fn the_role_reads_the_columns_of_keys_and_nothing_else() {
    let world = World::start().await;
    let role = testkit::database::connect(&world.variables[1].1).await.unwrap();
    role.batch_execute("SELECT key_hash, user_id, name, is_active FROM api_keys").await.unwrap();
    for sql in [
        "SELECT * FROM api_keys",
        "SELECT last_used_at FROM api_keys",
        "SELECT FROM chat_sessions",
        "SELECT FROM users",
        "UPDATE api_keys SET is_active = true",
        "DELETE FROM api_keys",
        "TRUNCATE api_keys",
    ] {
        let code = role.simple_query(sql).await.unwrap_err().code().cloned();
        assert_eq!(code, Some(tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE), "{sql}");
    }
}

#[tokio::test]
async fn a_key_with_an_expiry_works_until_then() {
    let world = World::start().await;
    world.execute("ALTER TABLE api_keys ADD expires_at timestamptz").await;
    role::create_sync_keys(&world.admin).await.unwrap();
    world.make_key(FIRST, ACCOUNT).await;
    world.make_key(SECOND, ACCOUNT).await;
    world.make_keys(5).await;
    let expiry = |at: &str| format!("UPDATE api_keys SET expires_at = {at} WHERE key_hash = '{}'", keys::hash(FIRST));
    world
        .execute(
            "UPDATE api_keys SET expires_at = CASE name WHEN 'key 1' THEN 'infinity' WHEN 'key 2' THEN '-infinity'
                     WHEN 'key 3' THEN '9999-12-31T23:59:59Z' ELSE '2999-01-01T00:00:00.000001Z' END::timestamptz",
        )
        .await;
    world.execute(&expiry("now() + interval '2 seconds'")).await;
    assert_eq!(world.run().await.unwrap()["added"], 6);
    assert_eq!(world.accepted(), [TOKEN, FIRST, SECOND]);
    let versions = world.secrets.versions(RING);
    while world.accepted().contains(&FIRST) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The function checks the expiry itself, so this costs no version.
    world.run().await.unwrap();
    assert_eq!(world.secrets.versions(RING), versions);
    world.execute(&expiry("NULL")).await;
    world.run().await.unwrap();
    assert_eq!(world.accepted(), [TOKEN, FIRST, SECOND]);
}

#[tokio::test]
async fn an_invalid_ring_stays_as_it_is() {
    let world = World::start().await;
    world.make_key(FIRST, ACCOUNT).await;
    for invalid in ["", "{", "[]", r#"{"api_keys": [{"key_hash": "x"}]}"#, r#"{"compact": {"version": 2}}"#] {
        world.secrets.put(RING, invalid).unwrap();
        world.run_fails_with("the key ring is invalid and stays as it is").await;
        assert_eq!(world.secrets.current(RING).0, invalid);
    }
}

#[tokio::test]
async fn a_ring_that_is_too_large_stays_as_it_is() {
    let world = World::start().await;
    world.make_key(FIRST, ACCOUNT).await;
    world.run().await.unwrap();
    let before = world.secrets.current(RING);
    world.make_keys(1_400).await;
    world.run_fails_with("a secret holds 65536: use shards").await;
    assert_eq!(world.secrets.current(RING), before);
}

#[tokio::test]
async fn wrong_rows_are_counted_and_the_others_are_synchronised() {
    let world = World::start().await;
    world.make_key(FIRST, ACCOUNT).await;
    world.make_key(SECOND, ACCOUNT).await;
    world.execute(&format!(
        "ALTER TABLE api_keys ALTER user_id DROP NOT NULL, ALTER name DROP NOT NULL, DROP CONSTRAINT api_keys_key_hash_key;
         INSERT INTO api_keys (user_id, name, key_prefix, key_hash) VALUES
           ('{ACCOUNT}', 'x', 'x', 'not a hash'), ('{ACCOUNT}', 'x', 'x', upper('{first}')),
           (NULL, 'x', 'x', encode(sha256('x'), 'hex')), ('{NEIGHBOUR}', 'x', 'x', '{second}');
         UPDATE api_keys SET name = NULL WHERE key_hash = '{first}'",
        first = keys::hash(FIRST), second = keys::hash(SECOND)
    )).await;
    let summary = world.run().await.unwrap();
    assert_eq!((&summary["rows"], &summary["wrong_rows"]), (&json!(6), &json!(5)), "{summary}");
    assert_eq!(world.accepted(), [TOKEN, FIRST]);
    let lines = lines(&world.sync);
    let line = lines.last().unwrap();
    assert_eq!(line["level"], "WARN", "{line}");
    assert!(line["cause"].as_str().unwrap().starts_with("5 rows of api_keys have"), "{line}");
}

#[tokio::test]
async fn a_hand_made_entry_takes_precedence_over_the_table() {
    let world = World::start().await;
    let blocked = json!({ "key_hash": keys::hash(FIRST), "user_id": ACCOUNT, "is_active": false });
    let kept = json!({ "key_hash": keys::hash(SECOND), "user_id": ACCOUNT });
    world.secrets.put(RING, json!({ "api_keys": [blocked, kept] }).to_string()).unwrap();
    world.make_key(FIRST, ACCOUNT).await;
    world.make_key(SECOND, ACCOUNT).await;
    assert_eq!(world.run().await.unwrap()["contradictions"], 1);
    world.revoke(SECOND).await;
    assert_eq!(world.run().await.unwrap()["contradictions"], 2);
    assert_eq!(world.ring(), json!({ "api_keys": [blocked, kept] }));
    assert_eq!(lines(&world.sync).last().unwrap()["level"], "WARN");
}

#[tokio::test]
async fn secrets_manager_failing_at_any_call_leaves_a_whole_ring_and_the_next_run_succeeds() {
    let world = World::start().await;
    let faults = [SecretsFault::Throttled, SecretsFault::Unavailable, SecretsFault::AccessDenied, SecretsFault::Silent];
    for operation in ["GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"] {
        for fault in faults {
            world.make_keys(1).await;
            world.secrets.fail_operation(operation, fault);
            world.run_fails_with(&format!("secret keys: {operation}: ")).await;
            assert_eq!(world.accepted(), [TOKEN], "{operation} {fault:?}");
            world.secrets.fail_operation(operation, None);
            assert_eq!(world.run().await.unwrap()["added"], 1, "{operation} {fault:?}");
            world.execute("UPDATE api_keys SET is_active = false").await;
            world.run().await.unwrap();
            world.execute("TRUNCATE api_keys").await;
        }
    }
}

#[tokio::test]
async fn a_lost_database_fails_the_run_and_the_next_one_succeeds() {
    let world = World::start().await;
    world.make_key(FIRST, ACCOUNT).await;
    // Not a change of the role, which the databases of other tests share.
    let name = world.database.url().rsplit('/').next().unwrap();
    let elsewhere = database::connect(&server().url("postgres")).await.unwrap();
    let allow = async |is_allowed: bool| {
        let sql = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {is_allowed}");
        elsewhere.batch_execute(&sql).await.unwrap();
    };
    allow(false).await;
    let error = world.run().await.unwrap_err();
    assert!(error.contains("is not currently accepting connections"), "{error}");
    allow(true).await;
    world.run().await.unwrap();
    end_connections(&world.admin).await.unwrap();
    world.run().await.unwrap();
    assert_eq!(world.accepted(), [TOKEN, FIRST]);
}

#[tokio::test]
async fn a_secret_with_too_many_versions_keeps_its_ring_and_the_log_says_what_to_do() {
    let world = World::start().await;
    while world.secrets.versions(RING) < 100 {
        world.secrets.put(RING, ring_by_hand().to_string()).unwrap();
    }
    world.make_key(FIRST, ACCOUNT).await;
    world.run_fails_with("more shards (API_KEYS_SHARDS) or a longer schedule").await;
    assert_eq!(world.accepted(), [TOKEN]);
}

#[tokio::test]
async fn a_reader_always_sees_the_hand_made_keys() {
    let world = World::start().await;
    let listing = world.listing().await;
    let runs = async {
        for count in [1, 3, 1_200, 2] {
            world.execute("TRUNCATE api_keys").await;
            world.make_keys(count).await;
            world.run().await.unwrap();
        }
    };
    let mut runs = Box::pin(runs);
    let mut reads = 0;
    loop {
        tokio::select! {
            () = &mut runs => break,
            () = tokio::task::yield_now() => {
                assert!(world.accepted().contains(&TOKEN));
                assert_eq!(status(&listing, TOKEN).await, 200);
                reads += 1;
            }
        }
    }
    assert!(reads > 4, "{reads}");
}

/// 256 rings without keys.
fn empty_shards() -> Vec<(String, String)> {
    (0..256).map(|shard| (format!("{RING}/{shard:02x}"), r#"{"api_keys":[]}"#.to_owned())).collect()
}

/// With an optimised binary 300,000 keys; the debug build takes a minute for as many.
#[tokio::test]
async fn keys_go_into_256_shards_of_which_only_changed_ones_are_read_again() {
    let keys = if std::env::var_os("SYNC_KEYS_BINARY").is_some() { 300_000 } else { 3_000 };
    let world = World::start_with("keys/{shard}", &empty_shards()).await;
    world.make_keys(keys).await;
    world.make_key(FIRST, ACCOUNT).await;
    let started = Instant::now();
    let summary = world.run().await.unwrap();
    println!("{:?}, {} KiB: {summary}", started.elapsed(), process::peak(world.sync.pid().unwrap()).unwrap());
    assert_eq!((&summary["added"], &summary["written"]), (&json!(keys + 1), &json!(256)), "{summary}");
    let listing = world.listing().await;
    assert_eq!(status(&listing, FIRST).await, 200);

    let reads = world.secrets.operations("GetSecretValue");
    let started = Instant::now();
    let summary = world.run().await.unwrap();
    println!("{:?}: {summary}", started.elapsed());
    assert_eq!((&summary["rows"], &summary["written"]), (&json!(keys + 1), &json!(0)), "{summary}");
    assert_eq!(world.secrets.operations("GetSecretValue"), reads, "nothing has changed, so no ring is read");
    world.revoke(FIRST).await;
    let summary = world.run().await.unwrap();
    assert_eq!((&summary["removed"], &summary["written"]), (&json!(1), &json!(1)), "{summary}");
    assert_eq!(
        world.secrets.operations("GetSecretValue"),
        reads + 2,
        "only the changed ring and the first one are read"
    );
}

#[tokio::test]
async fn a_shard_that_cannot_be_written_does_not_stop_the_others() {
    let mut rings = empty_shards();
    rings[7].1 = "{".into();
    let world = World::start_with("keys/{shard}", &rings).await;
    world.make_keys(1_000).await;
    world.run_fails_with("secret keys/07: the key ring is invalid").await;
    world.secrets.put("keys/07", r#"{"api_keys":[]}"#).unwrap();
    let summary = world.run().await.unwrap();
    assert_eq!(summary["written"], 1, "{summary}");
}

#[tokio::test]
async fn an_emptied_table_keeps_its_keys_also_if_a_shard_cannot_be_read() {
    let world = World::start_with("keys/{shard}", &empty_shards()).await;
    world.make_keys(600).await;
    world.run().await.unwrap();
    world.execute("TRUNCATE api_keys").await;
    let rings = || (0..256).map(|shard| world.secrets.current(&format!("keys/{shard:02x}")).0).collect::<Vec<_>>();
    let before = rings();
    let other = world.other_sync().await;
    for unreadable in ["keys/07", "keys/00"] {
        world.secrets.fail_secret(unreadable, SecretsFault::AccessDenied);
        for sync in [&world.sync, &other] {
            let error = run(sync).await.unwrap_err();
            assert!(error.contains("none of the") || error.contains(unreadable), "{error}");
            assert_eq!(rings().iter().zip(&before).filter(|(now, before)| now != before).count(), 0, "{unreadable}");
            // As after a change by hand, so that the next run is a first one.
            world.secrets.put("keys/00", before[0].as_str()).unwrap();
        }
        world.secrets.fail_secret(unreadable, None);
    }
}
