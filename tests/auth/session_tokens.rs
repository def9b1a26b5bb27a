//! Session tokens of the product's sign-in: which are accepted, with which keys, and that attacks on them fail.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use list_chat_sessions::{
    auth::{CLOCK_LEEWAY_SECONDS, SessionTokenKeys, SessionTokenRules},
    config::Config,
    jwks::MAX_JWKS_BYTES,
    secret::Lifetime,
    session_tokens::KeySource,
};
use serde_json::{Value, json};
use testkit::{
    ACCOUNT, API_KEYS, Authority, JwksFault, NEIGHBOUR, Secrets, SecretsFault, Server, SignIn, SigningKey, TOKEN,
    TestApp,
    app::TestResponse,
    certificates::{NOW, PAST},
    environment::{self, lines, secrets_with, status},
    request, ring, secrecy,
    sign_in::{ISSUER, base64url, claims},
};

/// The secret with the key for HS256.
const JWT_SECRET: &str = "test/jwt";
const KEY: &str = "the key for HS256 of the sign-in service, as text";

/// Tokens that `PyJWT` 2.15 made, with their keys.
const OTHER_LIBRARY: &str = include_str!("session_tokens.json");

fn rules() -> SessionTokenRules {
    SessionTokenRules { issuer: ISSUER.into(), audience: "authenticated".into() }
}

fn jwt_secret(key: &str) -> String {
    json!({ "jwt_secret": key }).to_string()
}

async fn start(secrets: Secrets, source: KeySource, lifetime: Option<Lifetime>) -> TestApp {
    let configure = |config: &mut Config| {
        config.session_tokens = Some((source, rules()));
        config.secret_lifetime = lifetime.unwrap_or(config.secret_lifetime);
    };
    TestApp::start_over(Server::shared(), secrets, configure).await
}

/// An app that accepts HS256 with [`KEY`].
async fn start_with_secret() -> TestApp {
    let secrets = testkit::app::secrets().await;
    secrets.put(JWT_SECRET, jwt_secret(KEY)).unwrap();
    start(secrets, KeySource::Secret(JWT_SECRET.into()), None).await
}

/// An app that accepts the keys of a sign-in service.
async fn start_with_jwks(sign_in: &SignIn) -> TestApp {
    start(testkit::app::secrets().await, jwks(sign_in), None).await
}

/// The same, with keys that are past their maximum age in every request.
async fn start_with_short_age(sign_in: &SignIn) -> TestApp {
    let lifetime = Lifetime { max_age: Duration::ZERO, max_stale: Duration::from_hours(1) };
    start(testkit::app::secrets().await, jwks(sign_in), Some(lifetime)).await
}

fn jwks(sign_in: &SignIn) -> KeySource {
    KeySource::Jwks(sign_in.url().parse().unwrap())
}

async fn call(test: &TestApp, token: &str) -> TestResponse {
    test.list_as(token, json!({})).await
}

/// Asserts that these tokens get the response to a request without a token.
async fn assert_rejected(test: &TestApp, tokens: Vec<(String, String)>) {
    let expected = test.send(&request::request("POST", &[], b"")).await;
    assert_eq!(expected.outcome(), (401, "unauthorized".into()));
    for (attack, token) in tokens {
        assert_eq!(call(test, &token).await, expected, "{attack}: {token}");
    }
}

/// Claims with these changes; `null` removes one.
fn with(changes: &Value) -> Value {
    let mut claims = claims(ACCOUNT);
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

#[tokio::test]
async fn a_session_token_lists_the_sessions_of_its_own_account_only() {
    let (rsa, ec) = (SigningKey::rs256("rsa"), SigningKey::es256("ec"));
    let sign_in = SignIn::start(&[&rsa, &ec]).await.unwrap();
    let hmac = SigningKey::hs256(KEY);
    for (test, key) in [
        (start_with_secret().await, &hmac),
        (start_with_jwks(&sign_in).await, &rsa),
        (start_with_jwks(&sign_in).await, &ec),
    ] {
        let sql = format!(
            "INSERT INTO chat_sessions (widget_id, user_id, visitor_id) SELECT id, user_id, 'v' FROM chat_widgets
             WHERE user_id = '{ACCOUNT}'"
        );
        test.database.load(&sql).await.unwrap();
        let without_rows = "99999999-9999-4999-8999-999999999999";
        for (account, total) in [(ACCOUNT, 1), (NEIGHBOUR, 0), (without_rows, 0)] {
            let response = call(&test, &key.token(&claims(account))).await;
            assert_eq!(response.total(), total, "{} of {account}", key.algorithm());
        }
        assert_eq!(test.list(json!({})).await.total(), 1, "API keys work as before");
    }
}

#[tokio::test]
async fn tokens_of_another_library_are_accepted_with_its_own_keys_unless_the_key_is_weak() {
    let made: Value = serde_json::from_str(OTHER_LIBRARY).unwrap();
    let sign_in = SignIn::start(&[]).await.unwrap();
    sign_in.publish(made["keys"].as_array().unwrap().clone());
    let by_jwks = start_with_jwks(&sign_in).await;
    let secrets = testkit::app::secrets().await;
    secrets.put(JWT_SECRET, jwt_secret(made["jwt_secret"].as_str().unwrap())).unwrap();
    let by_secret = start(secrets, KeySource::Secret(JWT_SECRET.into()), None).await;
    for (test, name, expected) in
        [(&by_secret, "HS256", 200), (&by_jwks, "rsa", 200), (&by_jwks, "ec", 200), (&by_jwks, "weak", 401)]
    {
        let token = made["tokens"][name].as_str().unwrap();
        assert_eq!(call(test, token).await.status, expected, "{name}");
    }
}

#[tokio::test]
async fn without_configuration_a_session_token_is_an_unknown_api_key() {
    let test = TestApp::start().await;
    assert_eq!(call(&test, &SigningKey::hs256(KEY).token(&claims(ACCOUNT))).await.status, 401);
    assert_eq!(test.secrets.calls(API_KEYS), 2, "one at init, one for the unknown token");
}

#[tokio::test]
async fn only_a_token_of_three_base64url_parts_is_a_session_token() {
    let test = start_with_secret().await;
    let keys = ["mgp_plain", "one.dot", "a.b.c.d", "a.b.c=", "a.b+.c", "a/.b.c", "ä.b.c"];
    test.secrets.put(API_KEYS, ring(&keys)).unwrap();
    for key in keys {
        assert_eq!(call(&test, key).await.status, 200, "{key} is looked up in the key ring");
    }
    let calls = test.secrets.calls(API_KEYS);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for token in ["a.b.c", "..", "a.b.", &SigningKey::hs256(KEY).token(&with(&json!({ "exp": 0 })))] {
        assert_eq!(call(&test, token).await.status, 401, "{token}");
    }
    assert_eq!(test.secrets.calls(API_KEYS), calls, "a session token is not looked up in the key ring");
}

#[tokio::test]
async fn no_token_chooses_its_algorithm() {
    let (hmac, rsa, ec) = (SigningKey::hs256(KEY), SigningKey::rs256("rsa"), SigningKey::es256("ec"));
    let sign_in = SignIn::start(&[&rsa, &ec]).await.unwrap();
    let (by_secret, by_jwks) = (start_with_secret().await, start_with_jwks(&sign_in).await);
    let claims = claims(ACCOUNT);

    let mut unsigned = Vec::new();
    for alg in [json!("none"), json!("None"), json!("NONE"), json!(""), json!(null), json!(["HS256"]), json!(256)] {
        for key in [&hmac, &rsa, &ec] {
            let mut header = key.header();
            header["alg"] = alg.clone();
            let start = format!("{}.{}.", base64url(header.to_string()), base64url(claims.to_string()));
            unsigned.push((format!("alg {alg} without signature"), start));
            unsigned.push((format!("alg {alg}"), key.token_with(&header.to_string(), claims.to_string())));
        }
    }
    for test in [&by_secret, &by_jwks] {
        assert_rejected(test, unsigned.clone()).await;
    }

    // Signed with what everybody knows.
    let mut confused = Vec::new();
    for (id, key) in [("rsa", &rsa), ("ec", &ec)] {
        let jwk = key.jwk();
        let text = |name: &str| jwk[name].as_str().unwrap_or_default().to_owned();
        for secret in [text("n"), text("x"), text("x") + &text("y"), jwk.to_string(), String::new()] {
            for alg in ["HS256", key.algorithm()] {
                let header = json!({ "alg": alg, "kid": id }).to_string();
                confused.push((
                    format!("{alg} of a public key"),
                    SigningKey::hs256(&secret).token_with(&header, claims.to_string()),
                ));
            }
        }
    }
    // The right key under another name, and the algorithms of the two public keys exchanged.
    for (alg, id, key) in [
        ("HS256", "rsa", &rsa),
        ("ES256", "rsa", &rsa),
        ("PS256", "rsa", &rsa),
        ("RS512", "rsa", &rsa),
        ("RS256", "ec", &ec),
        ("ES256K", "ec", &ec),
        ("rs256", "rsa", &rsa),
    ] {
        let header = json!({ "alg": alg, "kid": id }).to_string();
        confused.push((format!("{alg} with key {id}"), key.token_with(&header, claims.to_string())));
    }
    assert_rejected(&by_jwks, confused).await;
    assert_eq!(sign_in.calls(), 1, "none of these has an unknown key");

    let others = [&rsa, &ec].map(|key| (key.algorithm().to_owned(), key.token(&claims)));
    assert_rejected(&by_secret, others.into()).await;
    for alg in ["HS384", "HS512", "hs256"] {
        let header = json!({ "alg": alg }).to_string();
        assert_rejected(&by_secret, vec![(alg.into(), hmac.token_with(&header, claims.to_string()))]).await;
    }
    assert_eq!(by_secret.secrets.calls(JWT_SECRET), 1, "none of these could have been signed with a newer secret");
}

#[tokio::test]
async fn a_header_names_no_key_or_extension_of_its_own() {
    let (ec, attacker) = (SigningKey::es256("ec"), SigningKey::es256("ec"));
    let sign_in = SignIn::start(&[&ec]).await.unwrap();
    let trap = SignIn::start(&[&attacker]).await.unwrap();
    let test = start_with_jwks(&sign_in).await;
    let url = trap.url();
    let mut attacks = Vec::new();
    for extra in [json!({ "jwk": attacker.jwk() }), json!({ "jku": url }), json!({ "x5u": url, "x5c": ["AAAA"] })] {
        let mut header = attacker.header();
        header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        attacks.push((format!("{extra}"), attacker.token_with(&header.to_string(), claims(ACCOUNT).to_string())));
        // A field that is ignored does not make a good token bad.
        assert_eq!(call(&test, &ec.token_with(&header.to_string(), claims(ACCOUNT).to_string())).await.status, 200);
    }
    for header in [
        r#"{"alg": "ES256", "kid": "ec", "crit": ["exp"]}"#,
        r#"{"alg": "ES256", "kid": "ec", "crit": []}"#,
        r#"{"alg": "ES256", "kid": "ec", "crit": null}"#,
        r#"{"alg": "ES256", "kid": "ec", "b64": false, "crit": ["b64"]}"#,
        r#"{"alg": "ES256"}"#,
        r#"{"alg": "ES256", "kid": null}"#,
        r#"{"alg": "ES256", "kid": 7}"#,
        r#"{"alg": "ES256", "kid": ["ec"]}"#,
        r#"{"kid": "ec"}"#,
        r#"{"alg": "none", "alg": "ES256", "kid": "ec"}"#,
        r#"{"alg": "ES256", "kid": "other", "kid": "ec"}"#,
        r#"["ES256", "ec"]"#,
        r#""ES256""#,
        r#"{"alg": "ES256", "kid": "ec"} {}"#,
        r#"{"alg": "ES256", "kid": "ec""#,
        "",
    ] {
        attacks.push((header.into(), ec.token_with(header, claims(ACCOUNT).to_string())));
    }
    assert_rejected(&test, attacks).await;
    assert_eq!((sign_in.calls(), trap.calls()), (1, 0), "no URL of a token is fetched");
}

#[tokio::test]
async fn only_claims_that_obey_every_rule_are_accepted() {
    let test = start_with_secret().await;
    let key = SigningKey::hs256(KEY);
    for good in [
        json!({}),
        json!({ "nbf": now() }),
        json!({ "nbf": now() + CLOCK_LEEWAY_SECONDS - 5, "exp": i64::MAX }),
        json!({ "exp": now() - CLOCK_LEEWAY_SECONDS + 5 }),
        json!({ "aud": ["other", "authenticated"] }),
        json!({ "iat": "nonsense", "role": 7, "email": null }),
        // An anonymous user has an account too.
        json!({ "is_anonymous": true, "amr": [{ "method": "anonymous" }] }),
        json!({ "sub": ACCOUNT.to_uppercase() }),
    ] {
        assert_eq!(call(&test, &key.token(&with(&good))).await.status, 200, "{good}");
    }
    let simple = ACCOUNT.replace('-', "");
    let mut attacks: Vec<_> = [
        json!({ "exp": null }),
        json!({ "exp": now() - CLOCK_LEEWAY_SECONDS - 1 }),
        json!({ "exp": 0 }),
        json!({ "exp": -1 }),
        json!({ "exp": i64::MIN }),
        json!({ "exp": "9999999999" }),
        json!({ "exp": 9_999_999_999.5 }),
        json!({ "exp": 1e300 }),
        json!({ "exp": u64::MAX }),
        json!({ "exp": true }),
        json!({ "exp": [9_999_999_999_u64] }),
        json!({ "nbf": now() + CLOCK_LEEWAY_SECONDS + 60 }),
        json!({ "nbf": "0" }),
        json!({ "nbf": i64::MAX }),
        json!({ "iss": null }),
        json!({ "iss": "https://other.supabase.co/auth/v1" }),
        json!({ "iss": format!("{ISSUER}/") }),
        json!({ "iss": ISSUER.to_uppercase() }),
        json!({ "iss": [ISSUER] }),
        json!({ "aud": null }),
        json!({ "aud": "anon" }),
        json!({ "aud": "Authenticated" }),
        json!({ "aud": "authenticated " }),
        json!({ "aud": [] }),
        json!({ "aud": ["anon"] }),
        json!({ "aud": ["authenticated", 7] }),
        json!({ "aud": [["authenticated"]] }),
        json!({ "aud": { "authenticated": true } }),
        json!({ "aud": 7 }),
        json!({ "sub": null }),
        json!({ "sub": "" }),
        json!({ "sub": "user@example.com" }),
        json!({ "sub": simple }),
        json!({ "sub": format!("{{{ACCOUNT}}}") }),
        json!({ "sub": format!("urn:uuid:{ACCOUNT}") }),
        json!({ "sub": format!("{ACCOUNT} ") }),
        json!({ "sub": [ACCOUNT] }),
        json!({ "sub": { "id": ACCOUNT } }),
    ]
    .into_iter()
    .map(|change| (change.to_string(), key.token(&with(&change))))
    .collect();
    // The project's keys for browsers and servers are such tokens too, of no account.
    for role in ["anon", "service_role"] {
        let claims = json!({ "iss": "supabase", "ref": "project", "role": role, "iat": 1_641_769_200, "exp": 4_102_444_800_i64 });
        attacks.push((role.into(), key.token(&claims)));
    }
    let header = key.header().to_string();
    let good = claims(ACCOUNT).to_string();
    let twice = |name: &str, value: &str| good.replacen('{', &format!("{{\"{name}\": {value}, "), 1);
    for claims in [
        twice("sub", &format!("\"{NEIGHBOUR}\"")),
        twice("exp", "1"),
        twice("iss", "\"other\""),
        twice("aud", "\"other\""),
        format!("[{good}]"),
        format!("{good}{good}"),
        good[..good.len() - 1].to_owned(),
        String::new(),
        "null".into(),
    ] {
        attacks.push((claims.clone(), key.token_with(&header, claims)));
    }
    attacks.push(("not UTF-8".into(), key.token_with(&header, [good.as_bytes(), b"\xff"].concat())));
    assert_rejected(&test, attacks).await;
    assert_eq!(test.secrets.calls(JWT_SECRET), 1, "the claims of a signed token are no reason for a fetch");
}

#[tokio::test]
async fn a_signature_has_one_form_only() {
    let (hmac, rsa, ec) = (SigningKey::hs256(KEY), SigningKey::rs256("rsa"), SigningKey::es256("ec"));
    let sign_in = SignIn::start(&[&rsa, &ec]).await.unwrap();
    let (by_secret, by_jwks) = (start_with_secret().await, start_with_jwks(&sign_in).await);
    for (test, key) in [(&by_secret, &hmac), (&by_jwks, &rsa), (&by_jwks, &ec)] {
        let token = key.token(&claims(ACCOUNT));
        assert_eq!(call(test, &token).await.status, 200);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let bytes = key.sign(signed.as_bytes());
        let mut attacks = vec![
            (
                "of other claims".to_owned(),
                format!("{}.{signature}", key.token(&claims(NEIGHBOUR)).rsplit_once('.').unwrap().0),
            ),
            ("bits after the end".into(), format!("{signed}.{}", with_bits_after_the_end(signature))),
            ("padded".into(), format!("{token}=")),
            ("lengthened".into(), format!("{signed}.{}", base64url([&bytes[..], &[0]].concat()))),
            ("with a zero before it".into(), format!("{signed}.{}", base64url([&[0], &bytes[..]].concat()))),
            ("shortened".into(), format!("{signed}.{}", base64url(&bytes[1..]))),
            ("of nothing".into(), format!("{signed}.")),
            ("of zeros".into(), format!("{signed}.{}", base64url(vec![0; bytes.len()]))),
        ];
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            attacks.push((format!("byte {at}"), format!("{signed}.{}", base64url(bytes))));
        }
        if key.algorithm() == "ES256" {
            attacks.push(("as DER".into(), format!("{signed}.{}", base64url(der(&bytes)))));
        }
        assert_rejected(test, attacks).await;
    }
}

/// Changes only the bits of the last character that stand for no byte.
fn with_bits_after_the_end(base64: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (start, last) = base64.split_at(base64.len() - 1);
    let last = ALPHABET.iter().position(|byte| last.as_bytes() == [*byte]).unwrap();
    format!("{start}{}", char::from(ALPHABET[last + 1]))
}

/// A signature of ECDSA as OpenSSL writes it.
fn der(raw: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let sign: &[u8] = if number[0] > 127 { &[0] } else { &[] };
        [&[2, u8::try_from(sign.len() + number.len()).unwrap()], sign, number].concat()
    };
    let (r, s) = raw.split_at(32);
    let both = [integer(r), integer(s)].concat();
    [vec![0x30, u8::try_from(both.len()).unwrap()], both].concat()
}

#[tokio::test]
async fn a_large_or_deep_token_is_read_in_bounded_space() {
    let test = start_with_secret().await;
    let key = SigningKey::hs256(KEY);
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let claims = claims(ACCOUNT).to_string();
    let with_claim = |value: String| claims.replacen('{', &format!("{{\"more\": {value}, "), 1);
    let with_header = format!("{{\"more\": {}, \"alg\": \"HS256\"}}", deep(3_000));
    assert_eq!(call(&test, &key.token_with(&key.header().to_string(), with_claim(deep(3_000)))).await.status, 200);
    assert_eq!(call(&test, &key.token_with(&with_header, &claims)).await.status, 200);
    let header = key.header().to_string();
    assert_rejected(
        &test,
        vec![
            ("a deep audience".into(), key.token_with(&header, claims.replace("\"authenticated\"", &deep(3_000)))),
            ("a deep expiry".into(), key.token_with(&header, twice_deep(&claims, &deep(3_000)))),
            ("over 10 KB".into(), key.token_with(&header, with_claim(format!("\"{}\"", "x".repeat(8_000))))),
            ("dots only".into(), ".".repeat(10_000)),
        ],
    )
    .await;
}

fn twice_deep(claims: &str, deep: &str) -> String {
    claims.replacen("\"exp\":", &format!("\"exp\": {deep}, \"then\":"), 1)
}

#[tokio::test]
async fn init_fetches_the_keys_and_requests_use_them() {
    let ec = SigningKey::es256("ec");
    let sign_in = SignIn::start(&[&ec]).await.unwrap();
    let (by_jwks, by_secret) = (start_with_jwks(&sign_in).await, start_with_secret().await);
    for _ in 0..5 {
        assert_eq!(call(&by_jwks, &ec.token(&claims(ACCOUNT))).await.status, 200);
        assert_eq!(call(&by_secret, &SigningKey::hs256(KEY).token(&claims(ACCOUNT))).await.status, 200);
    }
    assert_eq!((sign_in.calls(), by_secret.secrets.calls(JWT_SECRET)), (1, 1));
}

/// Sends tokens with unknown keys for this time, and asserts that each gets this status.
async fn send_unknown_keys(test: &TestApp, time: Duration, status: u16) {
    let begin = Instant::now();
    let stranger = SigningKey::es256("stranger");
    while begin.elapsed() < time {
        for number in 0..5 {
            let header = json!({ "alg": "ES256", "kid": format!("unknown {number}") }).to_string();
            let token = stranger.token_with(&header, claims(ACCOUNT).to_string());
            assert_eq!(call(test, &token).await.status, status);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn unknown_keys_cause_at_most_one_fetch_a_second_also_during_an_outage() {
    for (fault, status) in [(None, 401), (Some(JwksFault::Unavailable), 503)] {
        let ec = SigningKey::es256("ec");
        let sign_in = SignIn::start(&[&ec]).await.unwrap();
        let test = start_with_jwks(&sign_in).await;
        sign_in.fail(fault);
        let begin = Instant::now();
        send_unknown_keys(&test, Duration::from_millis(2_500), status).await;
        let seconds = usize::try_from(begin.elapsed().as_secs()).unwrap();
        let calls = sign_in.calls() - 1;
        assert!((2..=seconds + 1).contains(&calls), "{fault:?}: {calls} calls in {seconds} s");
        assert_eq!(call(&test, &ec.token(&claims(ACCOUNT))).await.status, 200, "a known key needs no fetch");
    }
}

#[tokio::test]
async fn a_new_signing_key_works_within_two_seconds_despite_unknown_keys() {
    let (old, new) = (SigningKey::es256("old"), SigningKey::es256("new"));
    let sign_in = SignIn::start(&[&old]).await.unwrap();
    let test = start_with_jwks(&sign_in).await;
    send_unknown_keys(&test, Duration::from_millis(100), 401).await;
    sign_in.publish(vec![old.jwk(), new.jwk()]);
    send_unknown_keys(&test, Duration::from_secs(2), 401).await;
    for key in [&old, &new] {
        assert_eq!(call(&test, &key.token(&claims(ACCOUNT))).await.status, 200);
    }
}

#[tokio::test]
async fn a_new_signing_key_works_on_its_first_request_and_a_removed_one_stops_at_the_maximum_age() {
    let (old, new) = (SigningKey::es256("old"), SigningKey::es256("new"));
    let sign_in = SignIn::start(&[&old]).await.unwrap();
    let (test, short) = (start_with_jwks(&sign_in).await, start_with_short_age(&sign_in).await);
    for test in [&test, &short] {
        sign_in.publish(vec![old.jwk(), new.jwk()]);
        assert_eq!(call(test, &new.token(&claims(ACCOUNT))).await.status, 200);
        assert_eq!(call(test, &old.token(&claims(ACCOUNT))).await.status, 200);
    }
    sign_in.publish(vec![new.jwk()]);
    assert_eq!(call(&short, &old.token(&claims(ACCOUNT))).await.status, 401);
    sign_in.publish(vec![]);
    assert_eq!(call(&short, &new.token(&claims(ACCOUNT))).await.status, 401, "an empty set is a set");
}

#[tokio::test]
async fn a_new_jwt_secret_replaces_the_old_one_on_its_first_request() {
    let test = start_with_secret().await;
    let (old, new) = (SigningKey::hs256(KEY), SigningKey::hs256("another secret of the sign-in service"));
    assert_eq!(call(&test, &old.token(&claims(ACCOUNT))).await.status, 200);
    test.secrets.put(JWT_SECRET, jwt_secret("another secret of the sign-in service")).unwrap();
    assert_eq!(call(&test, &new.token(&claims(ACCOUNT))).await.status, 200);
    assert_eq!(call(&test, &old.token(&claims(ACCOUNT))).await.status, 401);
    let calls = test.secrets.calls(JWT_SECRET);
    for number in 0..20 {
        let forged = SigningKey::hs256(format!("a secret that somebody guesses: {number}"));
        assert_eq!(call(&test, &forged.token(&claims(ACCOUNT))).await.status, 401);
    }
    assert!(test.secrets.calls(JWT_SECRET) <= calls + 1, "forged tokens cause at most one call a second");
}

#[tokio::test]
async fn an_environment_started_without_the_keys_serves_api_keys_and_session_tokens_when_the_keys_are_back() {
    let ec = SigningKey::es256("ec");
    let token = ec.token(&claims(ACCOUNT));
    for fault in JwksFault::ALL {
        let sign_in = SignIn::start(&[&ec]).await.unwrap();
        sign_in.fail(fault);
        let test = start_with_jwks(&sign_in).await;
        assert_eq!(test.list(json!({})).await.status, 200, "{fault:?}");
        let response = call(&test, &token).await;
        assert_eq!(response.outcome(), (503, "service_unavailable".into()), "{fault:?}");
        assert_eq!(response.header("retry-after"), Some("5"));
        assert_eq!(sign_in.redirected(), 0, "a redirect is not followed");
        sign_in.fail(None);
        assert_eq!(call(&test, &token).await.status, 200, "{fault:?}");
    }
    for (fault, status) in [(SecretsFault::Unavailable, 503), (SecretsFault::AccessDenied, 503)] {
        let secrets = testkit::app::secrets().await;
        secrets.put(JWT_SECRET, jwt_secret(KEY)).unwrap();
        secrets.fail_secret(JWT_SECRET, fault);
        let test = start(secrets, KeySource::Secret(JWT_SECRET.into()), None).await;
        let token = SigningKey::hs256(KEY).token(&claims(ACCOUNT));
        assert_eq!(test.list(json!({})).await.status, 200, "{fault:?}");
        assert_eq!(call(&test, &token).await.status, status, "{fault:?}");
        test.secrets.fail_secret(JWT_SECRET, None);
        assert_eq!(call(&test, &token).await.status, 200, "{fault:?}");
    }
}

#[tokio::test]
async fn the_last_good_keys_stay_in_use_under_every_fault_of_the_jwks() {
    let ec = SigningKey::es256("ec");
    let token = ec.token(&claims(ACCOUNT));
    for fault in JwksFault::ALL {
        let sign_in = SignIn::start(&[&ec]).await.unwrap();
        let test = start_with_short_age(&sign_in).await;
        sign_in.fail(fault);
        for _ in 0..3 {
            assert_eq!(call(&test, &token).await.status, 200, "{fault:?}");
        }
        assert_eq!(sign_in.calls(), 2, "{fault:?}: one refresh, which is not repeated for ten seconds");
    }
}

#[tokio::test]
async fn keys_past_their_maximum_stale_age_are_not_used() {
    let ec = SigningKey::es256("ec");
    let sign_in = SignIn::start(&[&ec]).await.unwrap();
    let lifetime = Lifetime { max_age: Duration::ZERO, max_stale: Duration::from_secs(2) };
    let test = start(testkit::app::secrets().await, jwks(&sign_in), Some(lifetime)).await;
    sign_in.fail(JwksFault::Unavailable);
    assert_eq!(call(&test, &ec.token(&claims(ACCOUNT))).await.status, 200);
    tokio::time::sleep(lifetime.max_stale).await;
    assert_eq!(call(&test, &ec.token(&claims(ACCOUNT))).await.status, 503);
}

#[tokio::test]
async fn requests_that_wait_for_the_same_keys_cause_one_fetch() {
    let ec = SigningKey::es256("ec");
    let sign_in = SignIn::start(&[&ec]).await.unwrap();
    sign_in.fail(JwksFault::Unavailable);
    let test = start_with_jwks(&sign_in).await;
    sign_in.fail(None);
    let token = ec.token(&claims(ACCOUNT));
    let (a, b, c) = tokio::join!(call(&test, &token), call(&test, &token), call(&test, &token));
    assert_eq!([a.status, b.status, c.status], [200; 3]);
    assert_eq!(sign_in.calls(), 2);
}

#[tokio::test]
async fn keys_that_are_not_for_these_signatures_are_ignored() {
    let (rsa, ec) = (SigningKey::rs256("rsa"), SigningKey::es256("ec"));
    let sign_in = SignIn::start(&[]).await.unwrap();
    let change = |key: &SigningKey, name: &str, value: Value| {
        let mut jwk = key.jwk();
        match value {
            Value::Null => drop(jwk.as_object_mut().unwrap().remove(name)),
            value => jwk[name] = value,
        }
        jwk
    };
    let lengthened = |name: &str| base64url([&[0], &decoded(&ec.jwk()[name])[..]].concat());
    let mut off_curve = decoded(&ec.jwk()["y"]);
    off_curve[31] ^= 1;
    let oct = json!({ "kty": "oct", "kid": "ec", "alg": "ES256", "k": base64url(KEY) });
    let unusable = [
        (&rsa, change(&rsa, "use", json!("enc"))),
        (&ec, change(&ec, "use", json!("enc"))),
        (&ec, change(&ec, "use", json!(["sig"]))),
        (&ec, change(&ec, "key_ops", json!(["sign"]))),
        (&rsa, change(&rsa, "alg", json!("PS256"))),
        (&rsa, change(&rsa, "alg", json!("ES256"))),
        (&rsa, change(&rsa, "kid", json!(null))),
        (&rsa, change(&rsa, "kid", json!(7))),
        (&rsa, change(&rsa, "kty", json!("oct"))),
        (&rsa, change(&rsa, "n", json!(format!("AA{}", rsa.jwk()["n"].as_str().unwrap())))),
        (&rsa, change(&rsa, "n", json!(""))),
        (&rsa, change(&rsa, "e", json!(""))),
        (&rsa, change(&rsa, "e", json!("AA"))),
        (&ec, change(&ec, "crv", json!("P-384"))),
        (&ec, change(&ec, "crv", json!("secp256k1"))),
        (&ec, change(&ec, "x", json!(lengthened("x")))),
        (&ec, change(&ec, "y", json!(base64url(off_curve)))),
        (&ec, change(&ec, "y", json!("="))),
        (&ec, oct),
        (&ec, json!("a key")),
        (&ec, json!(null)),
    ];
    for (key, jwk) in unusable {
        let other = SigningKey::es256("other");
        sign_in.publish(vec![jwk.clone(), other.jwk()]);
        let test = start_with_jwks(&sign_in).await;
        assert_eq!(call(&test, &key.token(&claims(ACCOUNT))).await.status, 401, "{jwk}");
        assert_eq!(call(&test, &other.token(&claims(ACCOUNT))).await.status, 200, "the other key is used: {jwk}");
    }
    for name in ["use", "alg"] {
        sign_in.publish(vec![change(&rsa, name, json!(null)), change(&ec, name, json!(null))]);
        let test = start_with_jwks(&sign_in).await;
        for key in [&rsa, &ec] {
            assert_eq!(call(&test, &key.token(&claims(ACCOUNT))).await.status, 200, "{name} is optional");
        }
    }
}

fn decoded(base64url: &Value) -> Vec<u8> {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    BASE64_URL_SAFE_NO_PAD.decode(base64url.as_str().unwrap()).unwrap()
}

#[test]
fn invalid_keys_are_described_without_quoting_them() {
    let pem = "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A";
    for (secret, fault) in [
        ("not JSON secret".to_owned(), "it is not JSON, at line 1 column 2"),
        (json!(KEY).to_string(), "it has no text \"jwt_secret\""),
        (json!({ "jwt_secret": [KEY] }).to_string(), "it has no text \"jwt_secret\""),
        (jwt_secret(&"x".repeat(31)), "jwt_secret has less than 32 bytes"),
        (jwt_secret(pem), "jwt_secret is a key pair's PEM; for RS256 and ES256, set JWKS_URL instead"),
    ] {
        assert_eq!(SessionTokenKeys::from_secret(&secret).unwrap_err(), fault);
    }
    assert!(SessionTokenKeys::from_secret(&jwt_secret(&"x".repeat(32))).is_ok());
    for (jwks, fault) in [
        ("<html>".to_owned(), "it is not JSON, at line 1 column 1"),
        ("{}".into(), "it has no array \"keys\""),
        ("{\"keys\": {}}".into(), "it has no array \"keys\""),
        (format!("{{\"keys\": {}}}", "[".repeat(1_000)), "it is not JSON, at line 1 column 136"),
    ] {
        assert_eq!(SessionTokenKeys::from_jwks(&jwks).unwrap_err(), fault);
    }
    assert_eq!(format!("{:?}", SessionTokenKeys::from_secret(&jwt_secret(KEY)).unwrap()), "SessionTokenKeys(…)");
}

#[test]
fn the_configuration_names_one_source_of_keys_and_the_issuer() {
    let config = |variables: &[(&str, &str)]| {
        let usual = [("API_KEYS_SECRET_ID", "keys"), ("DATABASE_URL", "postgres://u@127.0.0.1/d")];
        let variables = [&usual, variables].concat();
        Config::from_variables(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())
        })
    };
    let issuer = ("JWT_ISSUER", ISSUER);
    assert!(config(&[]).unwrap().session_tokens.is_none());
    for source in [
        ("JWT_SECRET_ID", "jwt"),
        ("JWKS_URL", "https://project.supabase.co/auth/v1/.well-known/jwks.json"),
        ("JWKS_URL", "http://127.0.0.1:9999/jwks.json"),
        ("JWKS_URL", "http://[::1]:9999/jwks.json"),
        ("JWKS_URL", "http://localhost/jwks.json"),
    ] {
        let (_, rules) = config(&[source, issuer]).unwrap().session_tokens.unwrap();
        assert_eq!([rules.issuer, rules.audience], [ISSUER, "authenticated"]);
    }
    let (_, rules) =
        config(&[("JWT_SECRET_ID", "jwt"), issuer, ("JWT_AUDIENCE", "mobile")]).unwrap().session_tokens.unwrap();
    assert_eq!(rules.audience, "mobile");
    let url_rule = "JWKS_URL must be an https:// URL without a user (http:// only for loopback)";
    for (variables, violation) in [
        (vec![("JWT_SECRET_ID", "jwt")], "JWT_ISSUER must be the iss of the session tokens to accept"),
        (
            vec![("JWT_SECRET_ID", "jwt"), ("JWKS_URL", "https://hunter2.co"), issuer],
            "JWT_SECRET_ID and JWKS_URL are alternatives: unset one of them",
        ),
        (vec![issuer], "JWT_ISSUER needs JWT_SECRET_ID or JWKS_URL: set one or unset JWT_ISSUER"),
        (
            vec![("JWT_AUDIENCE", "hunter2")],
            "JWT_AUDIENCE needs JWT_SECRET_ID or JWKS_URL: set one or unset JWT_AUDIENCE",
        ),
        (vec![("JWKS_URL", "http://hunter2.supabase.co/jwks.json"), issuer], url_rule),
        (vec![("JWKS_URL", "http://127.0.0.1.hunter2.co/jwks.json"), issuer], url_rule),
        (vec![("JWKS_URL", "http://localhost@hunter2.co/"), issuer], url_rule),
        (vec![("JWKS_URL", "https://u:hunter2@project.co/"), issuer], url_rule),
        (vec![("JWKS_URL", "file:///hunter2"), issuer], url_rule),
        (vec![("JWKS_URL", "/hunter2"), issuer], url_rule),
        (vec![("JWKS_URL", "https://"), issuer], url_rule),
    ] {
        assert_eq!(config(&variables).unwrap_err().to_string(), violation, "{variables:?}");
    }
}

#[tokio::test]
async fn no_log_line_has_a_session_token_or_a_claim() {
    let (ec, attacker) = (SigningKey::es256("ec"), SigningKey::es256("a kid of this test"));
    let sign_in = SignIn::start(&[&ec]).await.unwrap();
    let (secrets, database) = (secrets_with(ring(&[TOKEN])).await, environment::database().await);
    let variables = [
        ("DATABASE_URL", database.url()),
        ("JWKS_URL", sign_in.url()),
        ("JWT_ISSUER", ISSUER),
        ("SECRET_MAX_AGE_SECONDS", "1"),
    ];
    let function = environment::start(&secrets, &variables).await.unwrap();
    let claims = claims(ACCOUNT);
    let tokens = [ec.token(&claims), ec.token(&with(&json!({ "exp": 1 }))), attacker.token(&claims)];
    for (token, expected) in tokens.iter().zip([200, 401, 401]) {
        assert_eq!(status(&function, &request::post(token, "{}")).await, expected);
    }
    sign_in.fail(JwksFault::Html);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for (token, expected) in tokens.iter().zip([200, 401, 503]) {
        assert_eq!(status(&function, &request::post(token, "{}")).await, expected);
    }
    sign_in.publish(vec![]);
    sign_in.fail(None);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(status(&function, &request::post(&tokens[2], "{}")).await, 401);
    let lines = lines(&function);
    let with = |message: &str| lines.iter().filter(|line| line["message"] == message).collect::<Vec<_>>();
    let failed = with("secret not fetched");
    assert_eq!(failed[0]["cause"], "service_unavailable: JWKS_URL: it is not JSON, at line 1 column 1");
    assert!(with("request").iter().any(|line| line["SecretStale"] == 1));
    assert_eq!(with("every session token is rejected")[0]["level"], "WARN");
    assert!(!with("unknown tokens").is_empty(), "rejected session tokens are counted too");
    let log = function.log().join("\n");
    secrecy::assert_silent("the log", &log);
    for secret in tokens.iter().flat_map(|token| token.split('.')).chain([
        ACCOUNT,
        ISSUER,
        "user@example.com",
        "a kid of this test",
    ]) {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

#[tokio::test]
async fn a_jwks_over_its_maximum_size_is_rejected() {
    let ec = SigningKey::es256("ec");
    let sign_in = SignIn::start(&[]).await.unwrap();
    let size = |keys: &[Value]| json!({ "keys": keys }).to_string().len();
    let filler = |bytes: usize| json!("x".repeat(bytes));
    let rest = MAX_JWKS_BYTES - size(&[ec.jwk(), filler(0)]);
    for (bytes, expected) in [(rest, 200), (rest + 1, 503)] {
        sign_in.publish(vec![ec.jwk(), filler(bytes)]);
        let test = start_with_jwks(&sign_in).await;
        assert_eq!(call(&test, &ec.token(&claims(ACCOUNT))).await.status, expected);
    }
}

#[tokio::test]
async fn the_host_of_the_jwks_is_verified_with_the_systems_roots() {
    let ec = SigningKey::es256("ec");
    let (secrets, database) = (secrets_with(ring(&[TOKEN])).await, environment::database().await);
    let (trusted, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let roots = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(roots.path(), trusted.pem()).unwrap();
    for (certificate, expected) in [
        (trusted.certify(&["127.0.0.1"], NOW), 200),
        (trusted.certify(&["127.0.0.1"], PAST), 503),
        (trusted.certify(&["other.example.com"], NOW), 503),
        (other.certify(&["127.0.0.1"], NOW), 503),
    ] {
        let mut sign_in = SignIn::start(&[&ec]).await.unwrap();
        let url = sign_in.serve_tls(&certificate.unwrap()).await.unwrap();
        let variables = [
            ("DATABASE_URL", database.url()),
            ("JWKS_URL", &url),
            ("JWT_ISSUER", ISSUER),
            ("SSL_CERT_FILE", roots.path().to_str().unwrap()),
        ];
        let function = environment::start(&secrets, &variables).await.unwrap();
        assert_eq!(status(&function, &request::post(&ec.token(&claims(ACCOUNT)), "{}")).await, expected);
        assert_eq!(status(&function, &request::post(TOKEN, "{}")).await, 200);
    }
}
