//! The key ring while Secrets Manager is slow or unavailable, or the secret has changed.

use std::time::{Duration, Instant};

use list_chat_sessions::{app::App, auth::KeyRing, secret::Lifetime};
use serde_json::json;
use testkit::{API_KEYS, Database, Secrets, SecretsFault, Server, TOKEN, TestApp, keys, ring};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const NEW_TOKEN: &str = "mgp_00000000000000000000000000000000000000ff";

/// An app whose key ring is past its maximum age in every request.
async fn start_with_short_age() -> TestApp {
    let lifetime = Lifetime { max_age: Duration::ZERO, max_stale: Duration::from_hours(1) };
    TestApp::start_with(Server::shared(), |config| config.secret_lifetime = lifetime).await
}

#[tokio::test]
async fn init_fetches_the_ring_and_requests_use_it() {
    let test = TestApp::start().await;
    for _ in 0..5 {
        assert_eq!(test.list(json!({})).await.status, 200);
    }
    assert_eq!(test.secrets.calls(API_KEYS), 1);
}

#[tokio::test]
async fn a_new_key_works_on_its_first_request() {
    let test = TestApp::start().await;
    test.secrets.put(API_KEYS, ring(&[TOKEN, NEW_TOKEN])).unwrap();
    assert_eq!(test.list_as(NEW_TOKEN, json!({})).await.status, 200);
}

/// Sends unknown tokens for this time, and asserts that each gets this status.
async fn send_unknown_tokens(test: &TestApp, time: Duration, status: u16) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        for number in 0..5 {
            assert_eq!(test.list_as(&format!("mgp_{number:040x}"), json!({})).await.status, status);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn unknown_tokens_cause_at_most_one_call_a_second_also_during_an_outage() {
    for (fault, status) in [(None, 401), (Some(SecretsFault::Unavailable), 503), (Some(SecretsFault::Throttled), 503)] {
        let test = TestApp::start().await;
        test.secrets.fail(fault);
        let begin = Instant::now();
        send_unknown_tokens(&test, Duration::from_millis(2_500), status).await;
        let seconds = usize::try_from(begin.elapsed().as_secs()).unwrap();
        let calls = test.secrets.calls(API_KEYS) - 1;
        assert!((2..=seconds + 1).contains(&calls), "{fault:?}: {calls} calls in {seconds} s");
    }
}

#[tokio::test]
async fn a_new_key_works_within_two_seconds_despite_unknown_tokens() {
    for delay in [0, 400] {
        let test = TestApp::start().await;
        test.secrets.delay(Duration::from_millis(delay));
        send_unknown_tokens(&test, Duration::from_millis(100), 401).await;
        test.secrets.put(API_KEYS, ring(&[TOKEN, NEW_TOKEN])).unwrap();
        send_unknown_tokens(&test, Duration::from_secs(2), 401).await;
        assert_eq!(test.list_as(NEW_TOKEN, json!({})).await.status, 200, "Secrets Manager responds after {delay} ms");
    }
}

#[tokio::test]
async fn a_new_key_works_two_seconds_after_an_outage_despite_unknown_tokens() {
    for fault in [SecretsFault::Silent, SecretsFault::Unavailable, SecretsFault::AccessDenied] {
        let test = TestApp::start().await;
        test.secrets.fail(fault);
        send_unknown_tokens(&test, Duration::from_millis(1_200), 503).await;
        test.secrets.put(API_KEYS, ring(&[TOKEN, NEW_TOKEN])).unwrap();
        test.secrets.fail(None);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(test.list_as(NEW_TOKEN, json!({})).await.status, 200, "{fault:?}");
    }
}

#[tokio::test]
async fn unknown_tokens_share_one_wait_for_an_unresponsive_secrets_manager() {
    let test = TestApp::start().await;
    test.secrets.fail(SecretsFault::Silent);
    assert_eq!(test.list_as(NEW_TOKEN, json!({})).await.status, 503);
    let calls = test.secrets.calls(API_KEYS);
    for number in 0..20 {
        assert_eq!(test.list_as(&format!("mgp_{number:040x}"), json!({})).await.status, 503);
    }
    assert_eq!(test.secrets.calls(API_KEYS), calls, "a failed fetch is not repeated for a second");
}

#[tokio::test]
async fn a_valid_token_does_not_wait_for_the_fetch_of_an_unknown_one() {
    let test = TestApp::start().await;
    test.secrets.fail(SecretsFault::Silent);
    let valid_during_the_fetch = async {
        while test.secrets.calls(API_KEYS) < 2 {
            tokio::task::yield_now().await;
        }
        test.list(json!({})).await
    };
    tokio::select! {
        response = test.list_as(NEW_TOKEN, json!({})) => panic!("the request with the unknown token ended first: {response:?}"),
        response = valid_during_the_fetch => assert_eq!(response.status, 200),
    }
}

#[tokio::test]
async fn a_new_key_works_on_its_first_request_if_the_idle_connection_is_lost() {
    let secrets = testkit::app::secrets().await;
    let network = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", network.local_addr().unwrap());
    let upstream = secrets.url().trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = network.accept().await {
            tokio::spawn(reset_at_the_second_request(client, TcpStream::connect(upstream.clone()).await.unwrap()));
        }
    });
    let database = Database::create(Server::shared()).await.unwrap();
    let aws = testkit::app::aws(&secrets).into_builder().endpoint_url(url).build();
    let app = App::start(testkit::app::config(&database), &aws).await;
    let test = TestApp { app, database, secrets };
    test.secrets.put(API_KEYS, ring(&[TOKEN, NEW_TOKEN])).unwrap();
    assert_eq!(test.list_as(NEW_TOKEN, json!({})).await.status, 200);
    assert_eq!(test.secrets.calls(API_KEYS), 2, "the lost request did not arrive");
}

/// Forwards one exchange and resets the connection at the next, like a service that drops idle connections.
async fn reset_at_the_second_request(mut client: TcpStream, mut upstream: TcpStream) {
    let (mut request, mut response) = ([0; 16_384], [0; 16_384]);
    let mut has_responded = false;
    loop {
        tokio::select! {
            Ok(bytes @ 1..) = client.read(&mut request) => {
                if has_responded {
                    client.set_zero_linger().unwrap();
                    return;
                }
                upstream.write_all(&request[..bytes]).await.unwrap();
            }
            Ok(bytes @ 1..) = upstream.read(&mut response) => {
                has_responded = true;
                client.write_all(&response[..bytes]).await.unwrap();
            }
            else => return,
        }
    }
}

#[tokio::test]
async fn a_refresh_delays_only_the_request_that_makes_it() {
    let test = start_with_short_age().await;
    test.secrets.fail(SecretsFault::Silent);
    tokio::select! {
        biased;
        response = test.list(json!({})) => panic!("the refreshing request ended first: {response:?}"),
        response = async {
            while test.secrets.calls(API_KEYS) < 2 {
                tokio::task::yield_now().await;
            }
            test.list(json!({})).await
        } => assert_eq!(response.status, 200),
    }
}

#[tokio::test]
async fn a_response_within_the_documented_time_needs_one_attempt() {
    for delay in [1_600, 2_500] {
        let secrets = testkit::app::secrets().await;
        secrets.delay(Duration::from_millis(delay));
        let test = TestApp::start_over(Server::shared(), secrets, |_| {}).await;
        test.secrets.fail(SecretsFault::Unavailable);
        assert_eq!(test.list(json!({})).await.status, 200, "the first fetch takes {delay} ms");
        assert_eq!(test.secrets.calls(API_KEYS), 1);
    }
    let test = start_with_short_age().await;
    test.secrets.delay(Duration::from_millis(800));
    test.secrets.put(API_KEYS, ring(&[NEW_TOKEN])).unwrap();
    assert_eq!(test.list_as(NEW_TOKEN, json!({})).await.status, 200, "a refresh takes 800 ms");
    assert_eq!(test.secrets.calls(API_KEYS), 2);
}

#[tokio::test]
async fn a_malformed_token_causes_no_call() {
    let test = TestApp::start().await;
    for value in ["", "Bearer", "Basic x", "Bearer a b"] {
        let event = testkit::request::request("POST", &[("authorization", value)], b"");
        assert_eq!(test.send(&event).await.status, 401);
    }
    assert_eq!(test.secrets.calls(API_KEYS), 1, "the one at init");
}

#[tokio::test]
async fn a_revoked_key_stops_working_at_the_rings_maximum_age() {
    let test = start_with_short_age().await;
    assert_eq!(test.list(json!({})).await.status, 200);
    test.secrets.put(API_KEYS, ring(&[NEW_TOKEN])).unwrap();
    assert_eq!(test.list(json!({})).await.status, 401);
}

#[tokio::test]
async fn the_last_good_ring_stays_in_use_under_every_fault_of_the_secret() {
    for fault in SecretsFault::ALL {
        let test = start_with_short_age().await;
        test.secrets.fail(fault);
        for _ in 0..3 {
            assert_eq!(test.list(json!({})).await.status, 200, "{fault:?}");
        }
        let refreshes = test.secrets.calls(API_KEYS) - 1;
        assert!((1..=3).contains(&refreshes), "{fault:?}: {refreshes} calls, which is one refresh with its retries");
    }
}

#[tokio::test]
async fn unknown_tokens_get_503_while_secrets_manager_is_unavailable() {
    let test = TestApp::start().await;
    test.secrets.fail(SecretsFault::Unavailable);
    for _ in 0..2 {
        let response = test.list_as(NEW_TOKEN, json!({})).await;
        assert_eq!(response.outcome(), (503, "service_unavailable".into()));
        assert_eq!(response.header("retry-after"), Some("5"));
    }
}

#[tokio::test]
async fn an_environment_started_without_secrets_manager_serves_when_it_is_back() {
    for fault in SecretsFault::ALL {
        let secrets = Secrets::start().await.unwrap();
        secrets.put(API_KEYS, ring(&[TOKEN])).unwrap();
        secrets.fail(fault);
        let test = TestApp::start_over(Server::shared(), secrets, |_| {}).await;
        assert_eq!(test.list(json!({})).await.outcome(), (503, "service_unavailable".into()), "{fault:?}");
        test.secrets.fail(None);
        assert_eq!(test.list(json!({})).await.status, 200, "{fault:?}");
    }
}

#[tokio::test]
async fn an_unresponsive_secrets_manager_gives_503_before_the_invocation_ends() {
    let secrets = Secrets::start().await.unwrap();
    secrets.fail(SecretsFault::NotFound);
    let test = TestApp::start_over(Server::shared(), secrets, |_| {}).await;
    test.secrets.fail(SecretsFault::Silent);
    let invocation = Duration::from_millis(1_200);
    let event = testkit::request::post(TOKEN, "{}");
    let response = tokio::time::timeout(invocation, test.send_within(&event, invocation)).await.unwrap();
    assert_eq!(response.outcome(), (503, "service_unavailable".into()));
}

#[tokio::test]
async fn a_ring_past_its_maximum_stale_age_is_not_used() {
    let lifetime = Lifetime { max_age: Duration::ZERO, max_stale: Duration::from_secs(2) };
    let test = TestApp::start_with(Server::shared(), |config| config.secret_lifetime = lifetime).await;
    test.secrets.fail(SecretsFault::AccessDenied);
    assert_eq!(test.list(json!({})).await.status, 200);
    tokio::time::sleep(lifetime.max_stale).await;
    assert_eq!(test.list(json!({})).await.status, 503);
}

#[tokio::test]
async fn an_invalid_new_version_leaves_the_old_one_in_use() {
    let test = start_with_short_age().await;
    for secret in ["", "{", "{\"api_keys\": [{}]}"] {
        test.secrets.put(API_KEYS, secret).unwrap();
        assert_eq!(test.list(json!({})).await.status, 200, "{secret:?}");
    }
}

#[tokio::test]
async fn requests_that_wait_for_the_same_fetch_cause_one_call() {
    let secrets = Secrets::start().await.unwrap();
    secrets.fail(SecretsFault::NotFound);
    let test = TestApp::start_over(Server::shared(), secrets, |_| {}).await;
    let calls = test.secrets.calls(API_KEYS);
    test.secrets.fail(None);
    test.secrets.put(API_KEYS, ring(&[TOKEN])).unwrap();
    test.secrets.delay(Duration::from_millis(100));
    let (a, b, c) = tokio::join!(test.list(json!({})), test.list(json!({})), test.list(json!({})));
    assert_eq!([a.status, b.status, c.status], [200; 3]);
    assert_eq!(test.secrets.calls(API_KEYS), calls + 1);
}

#[test]
fn an_invalid_secret_is_described_without_quoting_it() {
    let hash = keys::hash(TOKEN);
    let good = json!({ "key_hash": hash, "user_id": testkit::ACCOUNT });
    let with = |field: &str, value: serde_json::Value| {
        let mut entry = good.clone();
        entry[field] = value;
        json!({ "api_keys": [good, entry] }).to_string()
    };
    for (secret, fault) in [
        ("not JSON secret".to_owned(), "it is not JSON, at line 1 column 2"),
        (json!([good]).to_string(), "it has no array \"api_keys\""),
        (json!({ "api_keys": ["secret"] }).to_string(), "api_keys[0] is not an object"),
        (with("key_hash", json!("secret")), "api_keys[1].key_hash is not 64 lower-case hex digits"),
        (with("key_hash", json!(hash.to_uppercase())), "api_keys[1].key_hash is not 64 lower-case hex digits"),
        (with("key_hash", json!(null)), "api_keys[1].key_hash is not 64 lower-case hex digits"),
        (with("user_id", json!("secret")), "api_keys[1].user_id is not a UUID"),
        (with("is_active", json!("secret")), "api_keys[1].is_active is not a boolean"),
        (with("expires_at", json!("secret")), "api_keys[1].expires_at is not an RFC 3339 time"),
        (with("expires_at", json!("9999-12-31")), "api_keys[1].expires_at is not an RFC 3339 time"),
        (with("expires_at", json!("9999-12-31T23:59:60.5")), "api_keys[1].expires_at is not an RFC 3339 time"),
        (with("expires_at", json!("9999-12-32T00:00:00Z")), "api_keys[1].expires_at is not an RFC 3339 time"),
        (
            with("user_id", json!(testkit::NEIGHBOUR)),
            "api_keys[1] has the key_hash of api_keys[0] and another user_id: remove one of them",
        ),
        (
            with("is_active", json!(false)),
            "api_keys[1] has the key_hash of api_keys[0] and another is_active: remove one of them",
        ),
        (
            with("expires_at", json!("2027-01-01T00:00:00Z")),
            "api_keys[1] has the key_hash of api_keys[0] and another expires_at: remove one of them",
        ),
    ] {
        assert_eq!(KeyRing::parse(&secret).unwrap_err(), fault);
    }
    let ring = format!("{:?}", KeyRing::parse(&with("name", json!("x"))).unwrap());
    assert!(!ring.contains(&hash[..8]), "{ring}");
}

#[test]
fn a_key_given_twice_with_the_same_meaning_is_accepted() {
    let entry = json!({ "key_hash": keys::hash(TOKEN), "user_id": testkit::ACCOUNT });
    let mut other = entry.clone();
    other["name"] = json!("another name");
    other["is_active"] = json!(true);
    assert!(KeyRing::parse(&json!({ "api_keys": [entry, entry, other] }).to_string()).is_ok());
    let until = |time: &str| {
        let mut entry = entry.clone();
        entry["expires_at"] = json!(time);
        entry
    };
    let ring = json!({ "api_keys": [until("2027-01-01T00:00:00Z"), until("2027-01-01T01:00:00+01:00")] });
    assert!(KeyRing::parse(&ring.to_string()).is_ok());
}

/// The number in the contract and in docs/deploy.md.
#[test]
fn a_secret_has_room_for_three_hundred_keys() {
    let key = json!({
        "key_hash": keys::hash(TOKEN), "user_id": testkit::ACCOUNT, "name": "production", "is_active": true,
        "expires_at": "2027-01-01T00:00:00Z",
    });
    let secret = json!({ "api_keys": vec![key; 300] }).to_string();
    assert!(secret.len() <= list_chat_sessions::secret::MAX_SECRET_BYTES);
    assert!(KeyRing::parse(&secret).is_ok());
}
