//! openapi.yaml publishes what the function implements. The suite also validates each response against it.

use list_chat_sessions::{error::Error, request::ListRequest};
use serde_json::{Value, json};
use testkit::{
    contract,
    openapi::{DOCUMENT, examples, post, validator},
};

#[test]
fn every_error_is_published_with_its_status() {
    let text = String::new;
    for error in [
        Error::Validation(text()),
        Error::Unauthorized,
        Error::MethodNotAllowed,
        Error::PayloadTooLarge,
        Error::Query(text()),
        Error::Unavailable(text()),
        Error::Timeout(text()),
        Error::Internal(text()),
    ] {
        let published = &post()["responses"][error.status().as_str()]["content"]["application/json"];
        let body = json!({ "error": { "code": error.code(), "message": error.message() } });
        assert!(validator(&published["schema"]).is_valid(&body), "{body}");
        assert!(examples(published).iter().any(|example| example["error"]["code"] == error.code()), "{body}");
    }
}

#[test]
fn every_published_example_matches_its_schema() {
    let media = |content: &Value| {
        let content = &content["content"]["application/json"];
        (validator(&content["schema"]), examples(content))
    };
    let responses = post()["responses"].as_object().unwrap().values();
    for (validator, examples) in responses.chain([&post()["requestBody"]]).map(media) {
        assert!(!examples.is_empty());
        for example in examples {
            assert!(validator.is_valid(&example), "{example}");
        }
    }
}

#[test]
fn the_published_request_schema_accepts_what_the_function_accepts() {
    let validator = validator(&DOCUMENT["components"]["schemas"]["ListRequest"]);
    let vectors: Value = serde_json::from_str(contract::VECTORS).unwrap();
    let bodies = vectors["vectors"].as_array().unwrap().iter().filter_map(|vector| vector["body"].as_str());
    let more = [
        r#"{"limit": 100, "offset": 0}"#,
        r#"{"limit": 100.5}"#,
        r#"{"limit": 1e2}"#,
        r#"{"limit": null, "x": [1]}"#,
        r#"{"offset": 1e30}"#,
        r#"{"status": ""}"#,
        r#"{"status": "closed "}"#,
        r#"{"widget_id": ""}"#,
        r#"{"from_date": "2024-02-29"}"#,
        r#"{"from_date": "2023-02-29"}"#,
        r#"{"from_date": "2024-04-31"}"#,
        r#"{"from_date": "20240115T103000,5-0330"}"#,
        r#"{"from_date": "2024-01-15t10z"}"#,
        r#"{"from_date": "2024-01-15T10:30:00+16:00"}"#,
        r#"{"from_date": "2024-01-15T24:00:00Z"}"#,
        r#"{"from_date": "2024-01-15T23:59:60.000000000000000000000000000001z"}"#,
        r#"{"from_date": "2024-01-15T10:30:00+05:30:00"}"#,
        r#"{"from_date": "2024-01-15T10:30:00+053000"}"#,
        r#"{"from_date": "2024-015"}"#,
        r#"{"from_date": "2024-W03-1"}"#,
        r#"{"widget_id": "{aaaaaaaaaaaa4aaa8aaaaaaaaaaaaaaa}"}"#,
        r#"{"widget_id": "{aaaaaaaaaaaa4aaa8aaaaaaaaaaaaaaa"}"#,
    ];
    let mut read = 0;
    for body in bodies.chain(more) {
        let Ok(json) = serde_json::from_str::<Value>(body) else { continue };
        assert_eq!(validator.is_valid(&json), ListRequest::parse(body.as_bytes(), 100).is_ok(), "{body}");
        read += 1;
    }
    assert!(read > 100, "{read}");
}
