//! openapi.yaml, to which the function's answers are held.

use std::{collections::BTreeMap, sync::LazyLock};

use jsonschema::Validator;
use serde_json::{Value, json};

pub static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_saphyr::from_str(include_str!("../../../openapi.yaml")).expect("openapi.yaml is YAML"));

/// The answers to POST, by status.
static RESPONSES: LazyLock<BTreeMap<String, PublishedResponse>> = LazyLock::new(|| {
    let answers = post()["responses"].as_object().expect("it has responses");
    answers.iter().map(|(status, answer)| (status.clone(), PublishedResponse::published(answer))).collect()
});

struct PublishedResponse {
    headers: Vec<Header>,
    body: Validator,
    /// The error codes of its examples.
    codes: Vec<Value>,
}

struct Header {
    name: String,
    is_integer: bool,
    value: Validator,
}

impl PublishedResponse {
    fn published(answer: &Value) -> Self {
        let headers = answer["headers"].as_object().expect("every answer has headers");
        let header = |(name, description): (&String, &Value)| {
            let schema = &resolved(description)["schema"];
            Header { name: name.to_lowercase(), is_integer: schema["type"] == "integer", value: validator(schema) }
        };
        let json = &answer["content"]["application/json"];
        let codes = examples(json).iter().map(|example| example["error"]["code"].clone()).collect();
        Self { headers: headers.iter().map(header).collect(), body: validator(&json["schema"]), codes }
    }
}

/// The examples of a media type, whether it has one or several.
pub fn examples(media_type: &Value) -> Vec<Value> {
    let named = media_type["examples"].as_object().into_iter().flat_map(|examples| examples.values());
    named.map(|example| example["value"].clone()).chain(media_type.get("example").cloned()).collect()
}

pub fn post() -> &'static Value {
    &DOCUMENT["paths"]["/functions/v1/list-chat-sessions"]["post"]
}

/// A schema of the document as a validator of its own.
pub fn validator(schema: &Value) -> Validator {
    let mut schema = schema.clone();
    schema["components"] = DOCUMENT["components"].clone();
    jsonschema::options().should_validate_formats(true).build(&schema).expect("openapi.yaml has schemas")
}

fn resolved(value: &Value) -> &Value {
    let target = value["$ref"].as_str().map(|reference| DOCUMENT.pointer(&reference[1..]));
    target.map_or(value, |target| target.expect("a reference leads somewhere"))
}

/// What openapi.yaml does not say of an answer to POST: its status, a header that it announces, or the body.
pub fn fault(status: u16, header: impl Fn(&str) -> Option<String>, body: &str) -> Option<String> {
    let Some(answer) = RESPONSES.get(&status.to_string()) else {
        return Some(format!("openapi.yaml knows no {status}"));
    };
    for Header { name, is_integer, value: published } in &answer.headers {
        let Some(text) = header(name) else { return Some(format!("{status} has no header {name}")) };
        let number = text.parse::<u64>().ok().filter(|_| *is_integer);
        let value = number.map_or_else(|| json!(text), |number| json!(number));
        if !published.is_valid(&value) {
            return Some(format!("{status}: {name} is {value}"));
        }
    }
    let body: Value = match serde_json::from_str(body) {
        Ok(body) => body,
        Err(error) => return Some(format!("{status}: the body is not JSON: {error}")),
    };
    let code = &body["error"]["code"];
    if !answer.codes.contains(code) {
        return Some(format!("{status}: the code is {code}"));
    }
    answer.body.iter_errors(&body).next().map(|error| format!("{status}: {}: {error}", error.instance_path()))
}

/// Asserts that an answer to POST is one that openapi.yaml publishes.
///
/// # Panics
///
/// With what it does not say.
pub fn check(status: u16, header: impl Fn(&str) -> Option<String>, body: &str) {
    assert_eq!(fault(status, header, body), None);
}
