//! Validates the function's responses against openapi.yaml.

use std::{collections::BTreeMap, sync::LazyLock};

use jsonschema::Validator;
use serde_json::{Value, json};

pub static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_saphyr::from_str(include_str!("../../../openapi.yaml")).expect("openapi.yaml is YAML"));

/// The responses to POST, by status.
static RESPONSES: LazyLock<BTreeMap<String, PublishedResponse>> = LazyLock::new(|| {
    let responses = post()["responses"].as_object().expect("it has responses");
    responses.iter().map(|(status, response)| (status.clone(), PublishedResponse::new(response))).collect()
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
    fn new(response: &Value) -> Self {
        let headers = response["headers"].as_object().expect("every response has headers");
        let header = |(name, description): (&String, &Value)| {
            let schema = &resolved(description)["schema"];
            Header { name: name.to_lowercase(), is_integer: schema["type"] == "integer", value: validator(schema) }
        };
        let json = &response["content"]["application/json"];
        let codes = examples(json).iter().map(|example| example["error"]["code"].clone()).collect();
        Self { headers: headers.iter().map(header).collect(), body: validator(&json["schema"]), codes }
    }
}

/// Returns the examples of a media type, whether it has one or several.
pub fn examples(media_type: &Value) -> Vec<Value> {
    let named = media_type["examples"].as_object().into_iter().flat_map(|examples| examples.values());
    named.map(|example| example["value"].clone()).chain(media_type.get("example").cloned()).collect()
}

pub fn post() -> &'static Value {
    &DOCUMENT["paths"]["/functions/v1/list-chat-sessions"]["post"]
}

/// Makes a validator of a schema of the document.
pub fn validator(schema: &Value) -> Validator {
    let mut schema = schema.clone();
    schema["components"] = DOCUMENT["components"].clone();
    jsonschema::options().should_validate_formats(true).build(&schema).expect("openapi.yaml has schemas")
}

fn resolved(value: &Value) -> &Value {
    let target = value["$ref"].as_str().map(|reference| DOCUMENT.pointer(&reference[1..]));
    target.map_or(value, |target| target.expect("a reference has a target"))
}

/// Returns how a response to POST violates openapi.yaml: by its status, a required header, or its body.
pub fn violation(status: u16, header: impl Fn(&str) -> Option<String>, body: &str) -> Option<String> {
    let Some(response) = RESPONSES.get(&status.to_string()) else {
        return Some(format!("openapi.yaml has no response {status}"));
    };
    for Header { name, is_integer, value: published } in &response.headers {
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
    if !response.codes.contains(code) {
        return Some(format!("{status}: the code is {code}"));
    }
    response.body.iter_errors(&body).next().map(|error| format!("{status}: {}: {error}", error.instance_path()))
}

/// Asserts that a response to POST conforms to openapi.yaml.
///
/// # Panics
///
/// With the first violation.
pub fn check(status: u16, header: impl Fn(&str) -> Option<String>, body: &str) {
    assert_eq!(violation(status, header, body), None);
}
