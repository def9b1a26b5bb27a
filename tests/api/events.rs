//! Events, through the binary under a Lambda Runtime API. The name of each file in `events/` begins with its status.

use serde_json::{Value, json};
use testkit::{Harness, Headers, Server, binary, faults::events};

const BROKEN: u64 = 1_000;
const SEED: u64 = 4;

#[tokio::test]
async fn every_event_gets_the_status_in_its_name() {
    let tested = events::demo(&Harness::quiet(binary()), Server::shared()).await.unwrap();
    let events = events::files().unwrap();
    assert!(events.len() >= 20, "events/ is not where it should be");
    for (name, event) in events {
        let outcome = tested.function.invoke(event).await.unwrap();
        events::assert_documented_response(
            &name,
            &outcome.response().unwrap_or_else(|error| panic!("{name}: {error}")),
        );
    }
}

#[tokio::test]
async fn a_malformed_event_fails_only_its_own_invocation() {
    let report = events::run(&Harness::quiet(binary()), BROKEN, SEED).await.unwrap();
    assert_eq!((report.tried, report.lost), (BROKEN, 0), "{report}");
}

#[tokio::test]
async fn an_event_is_served_whatever_its_context() {
    let tested = events::demo(&Harness::quiet(binary()), Server::shared()).await.unwrap();
    let process = tested.function.pid();
    let event = &events::files().unwrap()["200-documented-request.json"];
    let huge = format!(r#"{{"custom": {{"x": "{}"}}}}"#, "y".repeat(200_000));
    let objects: [&[u8]; 9] = [
        br#"{"custom":{"n":1}}"#,
        br#"{"client":{"installation_id":"only this"}}"#,
        b"null",
        b"[]",
        b"{",
        b"eyJjdXN0b20iOnt9fQ==",
        b"",
        b"\xff\xfe\x80",
        huge.as_bytes(),
    ];
    let numbers: [&[u8]; 6] = [b"", b"soon", b"-1", b"1e3", b"18446744073709551615", b"99999999999999999999999"];
    let texts: [&[u8]; 3] = [b"", b"\xff", b"Root=1-\"}"];
    for (name, values) in [
        ("lambda-runtime-client-context", &objects[..]),
        ("lambda-runtime-cognito-identity", &objects),
        ("lambda-runtime-deadline-ms", &numbers),
        ("lambda-runtime-trace-id", &texts),
        ("lambda-runtime-invoked-function-arn", &texts),
        ("lambda-runtime-aws-tenant-id", &texts),
    ] {
        for value in values.iter().map(|value| Some(value.to_vec())).chain([None]) {
            let headers: Headers = vec![(name, value.clone())];
            let outcome = tested.function.invoke_with(event.clone(), headers).await.unwrap();
            let value = value.map(|value| value.escape_ascii().to_string());
            assert_eq!(outcome.response().unwrap()["statusCode"], 200, "{name}: {value:?}");
            assert_eq!(tested.function.pid(), process, "{name}: {value:?}");
        }
    }
}

/// API Gateway and load balancers have far lower limits; a direct invocation is limited only to 6 MB.
#[tokio::test]
async fn an_event_with_too_many_headers_fails_only_its_own_invocation() {
    let tested = events::demo(&Harness::quiet(binary()), Server::shared()).await.unwrap();
    let process = tested.function.pid();
    let events = events::files().unwrap();
    let good = &events["200-documented-request.json"];
    for count in [24_576, 24_577, 100_000] {
        for name in ["200-documented-request.json", "200-rest-api.json", "200-load-balancer.json"] {
            let mut event: Value = serde_json::from_str(&events[name]).unwrap();
            for number in 0..count {
                let header = format!("x-{number}");
                if event["multiValueHeaders"].is_object() {
                    event["multiValueHeaders"][&header] = json!(["1"]);
                } else {
                    event["headers"][&header] = json!("1");
                }
            }
            let response = tested.function.invoke(event.to_string()).await.unwrap().response().unwrap();
            assert_eq!(response["statusCode"], 400, "{name} with {count} headers more: {response}");
            let next = tested.function.invoke(good.clone()).await.unwrap().response().unwrap();
            assert_eq!((&next["statusCode"], tested.function.pid()), (&json!(200), process), "after {name}");
        }
    }
}
