//! Measures the parts of a request that need no network: `cargo bench --bench parts`.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use lambda_http::http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use list_chat_sessions::{
    auth::{BearerToken, KeyRing, SessionToken, SessionTokenKeys, SessionTokenRules},
    clock::Deadline,
    request::{ListRequest, MAX_BODY_BYTES},
    response, sessions, timestamp,
};
use serde_json::json;
use testkit::{
    ACCOUNT, SigningKey,
    account::{Account, KEYS, PAGES, Page, key_ring, runtime, token},
    sign_in::{ISSUER, claims},
};

fn authenticate(criterion: &mut Criterion) {
    let ring = KeyRing::parse(&key_ring()).expect("a ring");
    let mut group = criterion.benchmark_group(format!("authenticate against {KEYS} keys"));
    for (name, number) in [("the first", 0), ("the last", KEYS - 1), ("unknown", KEYS)] {
        let header = HeaderValue::from_str(&format!("Bearer {}", token(number))).expect("a header");
        let headers = HeaderMap::from_iter([(AUTHORIZATION, header)]);
        let now = Timestamp::now();
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let token = BearerToken::from_headers(black_box(&headers)).expect("a token");
                ring.authenticate(&token.hash(), now)
            });
        });
    }
}

fn session_token(criterion: &mut Criterion) {
    let secret = "a secret of the sign-in service, as text";
    let (hmac, rsa, ec) = (SigningKey::hs256(secret), SigningKey::rs256("rsa"), SigningKey::es256("ec"));
    let rules = SessionTokenRules { issuer: ISSUER.into(), audience: "authenticated".into() };
    let by_secret = SessionTokenKeys::from_secret(&json!({ "jwt_secret": secret }).to_string()).expect("a secret");
    let by_jwks =
        SessionTokenKeys::from_jwks(&json!({ "keys": [rsa.jwk(), ec.jwk()] }).to_string()).expect("a key set");
    let mut group = criterion.benchmark_group("session token");
    for (key, keys) in [(&hmac, &by_secret), (&rsa, &by_jwks), (&ec, &by_jwks)] {
        let header = HeaderValue::from_str(&format!("Bearer {}", key.token(&claims(ACCOUNT)))).expect("a header");
        let headers = HeaderMap::from_iter([(AUTHORIZATION, header)]);
        let now = Timestamp::now();
        group.bench_function(key.algorithm(), |bench| {
            bench.iter(|| {
                let token = BearerToken::from_headers(black_box(&headers)).expect("a token");
                let token = SessionToken::from_bearer(&token).expect("a session token");
                keys.authenticate(&token, &rules, now).expect("it is valid")
            });
        });
    }
}

fn parse(criterion: &mut Criterion) {
    let all = r#"{"limit": 20, "offset": 40, "widget_id": "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa", "status": "active",
        "from_date": "2024-01-15T10:30:00Z"}"#;
    let (head, tail) = (r#"{"limit": 20, "unknown": ""#, r#""}"#);
    let largest = format!("{head}{}{tail}", "a".repeat(MAX_BODY_BYTES - head.len() - tail.len()));
    let mut group = criterion.benchmark_group("parse a body");
    for (name, body) in [("empty", ""), ("of all fields", all), ("of 64 KiB", &largest)] {
        ListRequest::parse(body.as_bytes(), 100).expect("a request");
        group.bench_function(name, |bench| bench.iter(|| ListRequest::parse(black_box(body.as_bytes()), 100)));
    }
}

fn timestamp(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timestamp");
    for text in ["2024-01-15", "2024-01-15T10:30:00.123456Z", "2024-01-15T10:30:00+02:00"] {
        let parsed = timestamp::PgTimestamp::parse(text).expect("a timestamp");
        group.bench_function(BenchmarkId::new("parse", text), |bench| {
            bench.iter(|| timestamp::PgTimestamp::parse(black_box(text)));
        });
        group.bench_function(BenchmarkId::new("write", text), |bench| {
            bench.iter(|| black_box(parsed).rfc_3339());
        });
    }
}

/// Measures the response to a page of rows from PostgreSQL.
fn respond(criterion: &mut Criterion) {
    let runtime = runtime();
    let account = runtime.block_on(Account::start());
    let mut group = criterion.benchmark_group("respond with a page");
    for limit in PAGES {
        let (list, deadline) = (Page::new(limit).list, Deadline::within(Duration::from_secs(5)));
        let mut resent = 0;
        let listing = sessions::list(&account.test.app.database, &account.caller, &list, deadline, &mut resent);
        let page = runtime.block_on(listing).expect("a page");
        let first = response::page(&page).expect("a response");
        group.throughput(Throughput::Bytes(first.body().len().try_into().expect("some KiB")));
        group.bench_function(BenchmarkId::from_parameter(limit), |bench| {
            bench.iter(|| response::page(black_box(&page)));
        });
    }
}

criterion_group!(parts, authenticate, session_token, parse, timestamp, respond);
criterion_main!(parts);
