//! Keys divided among 16 or 256 secrets by the first digits of their hashes.

use std::time::{Duration, Instant};

use list_chat_sessions::{
    api_keys::ShardedId,
    auth::{
        TokenHash,
        compact::{self, CompactKey},
    },
    config::Config,
    handler::UNKNOWN_TOKEN_INTERVAL,
};
use serde_json::json;
use testkit::{
    ACCOUNT, Secrets, SecretsFault, Server, TOKEN, TestApp,
    environment::{database, lines, start, status},
    keys, process, request, ring,
};
use uuid::Uuid;

const ID: &str = "test/{shard}/api-keys";

fn token(number: usize) -> String {
    format!("mgp_{number:040x}")
}

/// The first tokens of the shard with these digits.
fn tokens_of(digits: &str) -> impl Iterator<Item = String> {
    (0..).map(token).filter(move |token| keys::hash(token).starts_with(digits))
}

fn secret_of(token: &str) -> String {
    ID.replace("{shard}", &keys::hash(token)[..2])
}

/// The stand-in with 256 shards, which are empty but for one token each.
async fn shards(tokens: &[&str]) -> Secrets {
    let secrets = Secrets::start().await.unwrap();
    for shard in 0..256 {
        secrets.put(&ID.replace("{shard}", &format!("{shard:02x}")), "{\"api_keys\": []}").unwrap();
    }
    for token in tokens {
        secrets.put(&secret_of(token), ring(&[token])).unwrap();
    }
    secrets
}

async fn app(secrets: Secrets) -> TestApp {
    let id = ShardedId::new(ID, None).unwrap();
    TestApp::start_over(Server::shared(), secrets, |config| config.api_keys_secret_id = id).await
}

#[tokio::test]
async fn init_reads_no_shard_and_a_request_reads_the_one_of_its_token() {
    let other = tokens_of("00").next().unwrap();
    let test = app(shards(&[TOKEN, &other]).await).await;
    let calls =
        || (0..256).map(|shard| test.secrets.calls(&ID.replace("{shard}", &format!("{shard:02x}")))).sum::<usize>();
    assert_eq!(calls(), 0);
    for _ in 0..3 {
        assert_eq!(test.list(json!({})).await.status, 200);
    }
    assert_eq!((calls(), test.secrets.calls(&secret_of(TOKEN))), (1, 1));
    assert_eq!(test.list_as(&other, json!({})).await.status, 200);
    assert_eq!((calls(), test.secrets.calls(&secret_of(&other))), (2, 1));
}

#[tokio::test]
async fn sixteen_shards_are_selected_by_one_digit() {
    let secrets = Secrets::start().await.unwrap();
    let name = ID.replace("{shard}", &keys::hash(TOKEN)[..1]);
    secrets.put(&name, ring(&[TOKEN])).unwrap();
    let id = ShardedId::new(ID, Some(16)).unwrap();
    let test = TestApp::start_over(Server::shared(), secrets, |config| config.api_keys_secret_id = id).await;
    assert_eq!(test.list(json!({})).await.status, 200);
    assert_eq!(test.secrets.calls(&name), 1);
}

#[tokio::test]
async fn a_new_key_works_within_two_seconds_despite_unknown_tokens_of_every_shard() {
    let test = app(shards(&[]).await).await;
    let of_the_shard: Vec<_> = tokens_of(&keys::hash(TOKEN)[..2]).take(10).collect();
    let unknown_tokens = async |time: Duration| {
        let begin = Instant::now();
        for number in (0..).take_while(|_| begin.elapsed() < time) {
            for token in [&token(number), &of_the_shard[number % of_the_shard.len()]] {
                assert_eq!(test.list_as(token, json!({})).await.status, 401);
            }
        }
        begin.elapsed()
    };
    let mut time = unknown_tokens(Duration::from_millis(300)).await;
    test.secrets.put(&secret_of(TOKEN), ring(&[TOKEN])).unwrap();
    time += unknown_tokens(Duration::from_secs(2)).await;
    assert_eq!(test.list(json!({})).await.status, 200);
    let calls = test.secrets.calls(&secret_of(TOKEN));
    // The first fetch, and one at each start of an interval.
    let most = 2 + usize::try_from(time.as_secs() / UNKNOWN_TOKEN_INTERVAL.as_secs()).unwrap() + 1;
    assert!((2..=most).contains(&calls), "{calls} calls of a shard in {time:?}");
}

#[tokio::test]
async fn a_shard_that_does_not_exist_is_an_error_that_names_it_and_never_a_401() {
    let secrets = shards(&[]).await;
    let database = database().await;
    let missing = ID.replace("test", "missing");
    let variables = [("DATABASE_URL", database.url()), ("API_KEYS_SECRET_ID", missing.as_str())];
    let function = start(&secrets, &variables).await.unwrap();
    assert!(lines(&function).is_empty(), "init reads no shard");
    for _ in 0..2 {
        assert_eq!(status(&function, &request::post(TOKEN, "{}")).await, 503);
    }
    let lines = lines(&function);
    let request = lines.iter().find(|line| line["message"] == "request").unwrap();
    let secret = missing.replace("{shard}", &keys::hash(TOKEN)[..2]);
    let cause = format!("secret {secret}: Secrets Manager returned ResourceNotFoundException");
    assert_eq!((&request["level"], &request["cause"]), (&json!("ERROR"), &json!(cause)));
    assert!(!function.log().join("\n").contains(&keys::hash(TOKEN)[..8]), "no more of the hash than the shard");
}

#[tokio::test]
async fn during_an_outage_shards_in_the_cache_are_used_and_others_give_503() {
    let other = tokens_of("00").next().unwrap();
    let test = app(shards(&[TOKEN, &other]).await).await;
    assert_eq!(test.list(json!({})).await.status, 200);
    test.secrets.fail(SecretsFault::Unavailable);
    assert_eq!(test.list(json!({})).await.status, 200);
    assert_eq!(test.list_as(&other, json!({})).await.outcome(), (503, "service_unavailable".into()));
    test.secrets.fail(None);
    assert_eq!(test.list_as(&other, json!({})).await.status, 200);
}

#[tokio::test]
async fn a_revoked_key_stops_working_at_the_age_of_api_keys_max_age_seconds() {
    let secrets = testkit::environment::secrets_with(ring(&[TOKEN])).await;
    let database = database().await;
    let variables = [("DATABASE_URL", database.url()), ("API_KEYS_MAX_AGE_SECONDS", "1")];
    let function = start(&secrets, &variables).await.unwrap();
    secrets.put("keys", ring(&[])).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(status(&function, &request::post(TOKEN, "{}")).await, 401);
}

#[test]
fn invalid_variables_of_the_key_ring_are_named_with_their_rules() {
    let config = |variables: &[(&str, &str)]| {
        let value = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned()).or((name == "DATABASE_SECRET_ID").then(|| "database".into()))
        };
        Config::from_variables(value).map(|config| config.api_keys_secret_id).map_err(|fault| fault.to_string())
    };
    let id = "API_KEYS_SECRET_ID";
    for (variables, fault) in [
        (vec![(id, "{shard}/{shard}")], "API_KEYS_SECRET_ID must contain {shard} only once"),
        (vec![(id, "{shards}")], "API_KEYS_SECRET_ID must have no braces except those of {shard}"),
        (
            vec![(id, "keys"), ("API_KEYS_SHARDS", "16")],
            "API_KEYS_SECRET_ID must contain {shard} if a number of shards is set",
        ),
        (vec![(id, ID), ("API_KEYS_SHARDS", "20")], "API_KEYS_SHARDS must be 16 or 256"),
        (vec![(id, ID), ("API_KEYS_SHARDS", "many")], "API_KEYS_SHARDS must be 16 or 256"),
        (
            vec![(id, "keys"), ("API_KEYS_MAX_AGE_SECONDS", "0")],
            "API_KEYS_MAX_AGE_SECONDS must be a whole number from 1 to 3600",
        ),
        (
            vec![(id, "keys"), ("API_KEYS_MAX_AGE_SECONDS", "600"), ("SECRET_MAX_STALE_SECONDS", "599")],
            "SECRET_MAX_STALE_SECONDS must be a whole number from 600 to 604800",
        ),
    ] {
        assert_eq!(config(&variables).unwrap_err(), fault);
    }
    let hash = TokenHash::from_hex(&keys::hash(TOKEN)).unwrap();
    for (variables, count, expected) in [
        (vec![(id, "keys")], 1, "keys"),
        (vec![(id, ID)], 256, "test/24/api-keys"),
        (vec![(id, ID), ("API_KEYS_SHARDS", "256")], 256, "test/24/api-keys"),
        (vec![(id, ID), ("API_KEYS_SHARDS", "16")], 16, "test/2/api-keys"),
    ] {
        let id = config(&variables).unwrap();
        assert_eq!((id.count(), id.id(id.shard_of(&hash)).as_str()), (count, expected));
    }
}

/// Memory is that of the whole process in a debug build.
#[tokio::test]
async fn with_300_000_keys_a_request_reads_one_of_256_secrets_and_all_fit_into_little_memory() {
    const KEYS: usize = 300_000;
    const MAX_MORE_KIB: u64 = 40_000;
    let user_id: Uuid = ACCOUNT.parse().unwrap();
    let secrets = Secrets::start().await.unwrap();
    let name = |shard: usize| ID.replace("{shard}", &format!("{shard:02x}"));
    let mut tokens = vec![None; 256];
    for token in (0..10_000).map(token) {
        let hash = TokenHash::from_hex(&keys::hash(&token)).unwrap().compact();
        tokens[usize::from(hash[0])].get_or_insert((token, hash));
    }
    for (shard, token) in tokens.iter().enumerate() {
        // One key has a token that is sent, the others have random hashes.
        let mut hashes = vec![token.as_ref().unwrap().1; KEYS.div_ceil(256)];
        hashes[1..].iter_mut().for_each(|hash| fastrand::fill(&mut hash[1..]));
        let key = |hash| CompactKey { hash, user_id, expires_at: None };
        let keys: Vec<_> = hashes.into_iter().map(key).collect();
        secrets.put(&name(shard), json!({ "compact": compact::encode(&keys) }).to_string()).unwrap();
    }
    let database = database().await;
    let variables = [("DATABASE_URL", database.url()), ("API_KEYS_SECRET_ID", ID)];
    let function = start(&secrets, &variables).await.unwrap();
    let calls = || (0..256).map(|shard| secrets.calls(&name(shard))).sum::<usize>();
    let pid = function.pid().unwrap();
    let mut before = 0;
    for (read, (token, _)) in tokens.iter().flatten().enumerate() {
        assert_eq!(calls(), read);
        assert_eq!(status(&function, &request::post(token, "{}")).await, 200);
        if read == 0 {
            before = process::resident(pid).unwrap();
        }
    }
    assert_eq!(calls(), 256);
    let after = process::resident(pid).unwrap();
    println!("{KEYS} keys: {before} KiB with one shard, {after} KiB with all");
    assert!(after - before < MAX_MORE_KIB, "{before} KiB with one shard, {after} KiB with all");
}
