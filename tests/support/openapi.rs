//! openapi.yaml, to which the function's answers are held.

use std::{collections::BTreeMap, sync::LazyLock};

use jsonschema::Validator;
use serde_json::{Value, json};

pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = serde_saphyr::from_str(include_str!("../../openapi.yaml")).expect("openapi.yaml is YAML");
    nullable_as_json_schema_says_it(&mut document);
    document
});

/// The answers to POST, by status.
static ANSWERS: LazyLock<BTreeMap<String, Answer>> = LazyLock::new(|| {
    let answers = post()["responses"].as_object().expect("it has responses");
    answers.iter().map(|(status, answer)| (status.clone(), Answer::published(answer))).collect()
});

struct Answer {
    headers: Vec<Header>,
    body: Validator,
}

struct Header {
    name: String,
    is_integer: bool,
    value: Validator,
}

impl Answer {
    fn published(answer: &Value) -> Self {
        let headers = answer["headers"].as_object().expect("every answer has headers");
        let header = |(name, description): (&String, &Value)| {
            let schema = &resolved(description)["schema"];
            Header { name: name.to_lowercase(), is_integer: schema["type"] == "integer", value: validator(schema) }
        };
        let body = validator(&answer["content"]["application/json"]["schema"]);
        Self { headers: headers.iter().map(header).collect(), body }
    }
}

pub fn post() -> &'static Value {
    &DOCUMENT["paths"]["/functions/v1/list-chat-sessions"]["post"]
}

/// OpenAPI 3.0's `nullable: true` is a type of its own in JSON Schema.
fn nullable_as_json_schema_says_it(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.remove("nullable") == Some(json!(true)) {
                let kind = fields["type"].take();
                fields.insert("type".into(), json!([kind, "null"]));
            }
            fields.values_mut().for_each(nullable_as_json_schema_says_it);
        }
        Value::Array(items) => items.iter_mut().for_each(nullable_as_json_schema_says_it),
        _ => {}
    }
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
    let Some(answer) = ANSWERS.get(&status.to_string()) else { return Some(format!("openapi.yaml knows no {status}")) };
    for Header { name, is_integer, value: published } in &answer.headers {
        let Some(text) = header(name) else { return Some(format!("{status} has no header {name}")) };
        let number = text.parse::<u64>().ok().filter(|_| *is_integer);
        let value = number.map_or_else(|| json!(text), |number| json!(number));
        if !published.is_valid(&value) {
            return Some(format!("{status}: {name} is {value}"));
        }
    }
    match serde_json::from_str(body) {
        Ok(body) => {
            answer.body.iter_errors(&body).next().map(|error| format!("{status}: {}: {error}", error.instance_path()))
        }
        Err(error) => Some(format!("{status}: the body is no JSON: {error}")),
    }
}

/// Asserts that an answer to POST is one that openapi.yaml publishes.
///
/// # Panics
///
/// With what it does not say.
pub fn check(status: u16, header: impl Fn(&str) -> Option<String>, body: &str) {
    assert_eq!(fault(status, header, body), None);
}
