//! Which callers are accepted, and that responses reveal nothing to others.

use serde_json::{Value, json};
use testkit::{ACCOUNT, API_KEYS, NEIGHBOUR, TOKEN, TestApp, app::key, keys, request};

#[tokio::test]
async fn the_scheme_is_read_in_any_case_and_with_any_number_of_spaces() {
    let test = TestApp::start().await;
    for scheme in ["Bearer ", "bearer ", "BEARER ", "bEaReR ", "Bearer    ", "  Bearer "] {
        let event = request::request("POST", &[("authorization", &format!("{scheme}{TOKEN}"))], b"");
        assert_eq!(test.send(&event).await.status, 200, "{scheme:?}");
    }
}

#[tokio::test]
async fn all_authentication_failures_look_alike() {
    let test = TestApp::start().await;
    let mut ring = json!({ "api_keys": [
        key("mgp_revoked", ACCOUNT),
        key("mgp_expired", ACCOUNT),
    ] });
    ring["api_keys"][0]["is_active"] = json!(false);
    ring["api_keys"][1]["expires_at"] = json!("2024-01-01T00:00:00Z");
    test.secrets.put(API_KEYS, ring.to_string()).unwrap();

    let expected = test.send(&request::request("POST", &[], b"")).await;
    assert_eq!(expected.outcome(), (401, "unauthorized".into()));
    assert_eq!(expected.message(), "Unauthorized");
    assert_eq!(expected.header("www-authenticate"), Some("Bearer"));
    let long = format!("Bearer {}", "x".repeat(20_000));
    for value in [
        "",
        "Bearer",
        "Bearer ",
        TOKEN,
        "Basic dXNlcjpwYXNz",
        "Bearer\tmgp_x",
        "BearerX mgp_x",
        "Bearer mgp_a mgp_b",
        "Bearer mgp_a,Bearer mgp_b",
        "Bearer mgp_unknown",
        "Bearer mgp_revoked",
        "Bearer mgp_expired",
        // A session token of the product's sign-in.
        "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMTExMTExMS0xMTExLTQxMTEtODExMS0xMTExMTExMTExMTEifQ.c2lnbmF0dXJl",
        &long,
    ] {
        let event = request::request("POST", &[("authorization", value)], b"{broken");
        assert_eq!(test.send(&event).await, expected, "{value:?}");
    }
}

#[tokio::test]
async fn a_token_given_twice_is_rejected_even_if_it_is_valid() {
    let test = TestApp::start().await;
    let authorization = format!("Bearer {TOKEN}");
    let event = json!({
        "resource": "/functions/v1/list-chat-sessions", "path": "/functions/v1/list-chat-sessions", "httpMethod": "POST",
        "headers": {}, "multiValueHeaders": { "Authorization": [authorization, authorization] },
        "requestContext": { "httpMethod": "POST", "stage": "prod" }, "body": null, "isBase64Encoded": false,
    });
    assert_eq!(test.send(&event).await.outcome(), (401, "unauthorized".into()));
}

#[tokio::test]
async fn a_key_works_until_it_expires() {
    let now = jiff::Timestamp::now();
    for never in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999+00:00"] {
        let mut entry = key("mgp_for_ever", ACCOUNT);
        entry["expires_at"] = json!(never);
        let test = start_with_ring(&json!({ "api_keys": [entry] })).await;
        assert_eq!(test.list_as("mgp_for_ever", json!({})).await.status, 200, "{never}");
    }
    for (seconds, status) in [(-1, 401), (3_600, 200)] {
        let mut entry = key("mgp_temporary", ACCOUNT);
        entry["expires_at"] = json!((now + jiff::SignedDuration::from_secs(seconds)).to_string());
        let test = start_with_ring(&json!({ "api_keys": [entry] })).await;
        assert_eq!(test.list_as("mgp_temporary", json!({})).await.status, status, "{seconds}");
    }
}

#[tokio::test]
async fn every_key_of_an_account_lists_its_sessions() {
    let ring = json!({ "api_keys": [
        { "key_hash": keys::hash("first"), "user_id": ACCOUNT },
        { "key_hash": keys::hash("second"), "user_id": ACCOUNT, "is_active": null, "expires_at": null, "more": 1 },
        { "key_hash": keys::hash("foreign"), "user_id": NEIGHBOUR },
    ] });
    let test = start_with_ring(&ring).await;
    let sql = format!(
        "INSERT INTO chat_sessions (widget_id, user_id, visitor_id) SELECT id, user_id, 'v' FROM chat_widgets
         WHERE user_id = '{ACCOUNT}'"
    );
    test.database.load(&sql).await.unwrap();
    for (token, total) in [("first", 1), ("second", 1), ("foreign", 0)] {
        assert_eq!(test.list_as(token, json!({})).await.total(), total, "{token}");
    }
}

#[tokio::test]
async fn the_method_is_checked_before_the_token() {
    let test = TestApp::start().await;
    let preflight = test.send(&request::request("OPTIONS", &[], b"")).await;
    assert_eq!((preflight.status.as_u16(), preflight.body.as_str()), (200, "ok"));
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "post"] {
        let response = test.send(&request::request(method, &[], b"{}")).await;
        assert_eq!(response.outcome(), (405, "method_not_allowed".into()), "{method}");
        assert_eq!(response.header("allow"), Some("POST, OPTIONS"));
    }
}

#[tokio::test]
async fn every_response_has_the_same_headers() {
    let test = TestApp::start().await;
    for event in [
        request::request("OPTIONS", &[], b""),
        request::request("GET", &[], b""),
        request::request("POST", &[], b""),
        request::post(TOKEN, "{}"),
        request::post(TOKEN, "{\"limit\": -1}"),
        request::post(TOKEN, &" ".repeat(65_537)),
    ] {
        let response = test.send(&event).await;
        for (header, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-headers", "authorization, x-client-info, apikey, content-type"),
            ("access-control-allow-methods", "POST, OPTIONS"),
            ("access-control-expose-headers", "x-request-id, retry-after"),
            ("cache-control", "no-store"),
            ("x-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        ] {
            assert_eq!(response.header(header), Some(value), "{header} of {}", response.status);
        }
        let kind = if response.body == "ok" { "text/plain; charset=utf-8" } else { "application/json" };
        assert_eq!(response.header("content-type"), Some(kind));
        let is_preflight = event["requestContext"]["http"]["method"] == "OPTIONS";
        assert_eq!(response.header("access-control-max-age"), is_preflight.then_some("86400"));
    }
}

/// An app with this key ring instead of the usual one. The first request fetches it, because its token is unknown.
async fn start_with_ring(ring: &Value) -> TestApp {
    let test = TestApp::start().await;
    test.secrets.put(API_KEYS, ring.to_string()).unwrap();
    test
}
