//! Random faults of events.

use fastrand::Rng;
use serde_json::{Value, json, value::RawValue};

use super::odd;

/// Placeholder for JSON that a [`Value`] cannot hold. It does not occur in events.
const HOLE: &str = "HOLE";

/// Returns one of the events, or a mixture of two, with one to three faults.
pub fn event(events: &[Value], random: &mut Rng) -> String {
    let mut event = events[random.usize(..events.len())].clone();
    let mut hole = None;
    for _ in 0..random.usize(1..4) {
        match random.u32(..12) {
            0 => drop(take(&mut event, random)),
            1 => {
                *place(&mut event, random) = json!(HOLE);
                hole = Some(odd::json(random));
            }
            2 => *place(&mut event, random) = json!(odd::text(random)),
            3 => {
                // A part of another event in the wrong place.
                let mut other = events[random.usize(..events.len())].clone();
                *place(&mut event, random) = place(&mut other, random).take();
            }
            4 => rename(&mut event, random),
            5 | 6 => header(&mut event, random),
            7 | 8 => field(&mut event, random),
            9 => body(&mut event, random),
            _ => spoil(place(&mut event, random), random),
        }
    }
    let text = event.to_string();
    let text = match hole {
        Some(odd) => text.replace(&json!(HOLE).to_string(), &odd),
        None => text,
    };
    if random.u32(..4) == 0 { flipped(&text, random) } else { text }
}

/// Returns a random value of the event, or the whole event.
fn place<'a>(value: &'a mut Value, random: &mut Rng) -> &'a mut Value {
    let length = match value {
        Value::Object(fields) => fields.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    };
    // Rarely the whole, because most faults are further down.
    if length == 0 || random.u32(..8) == 0 {
        return value;
    }
    let at = random.usize(..length);
    let inner = match value {
        Value::Object(fields) => fields.values_mut().nth(at),
        Value::Array(items) => items.get_mut(at),
        _ => None,
    };
    place(inner.expect("it is there"), random)
}

fn take(event: &mut Value, random: &mut Rng) -> Option<(String, Value)> {
    let fields = place(event, random).as_object_mut().filter(|fields| !fields.is_empty())?;
    let name = fields.keys().nth(random.usize(..fields.len()))?.clone();
    fields.remove_entry(&name)
}

fn rename(event: &mut Value, random: &mut Rng) {
    let Some(fields) = event.as_object_mut().filter(|fields| !fields.is_empty()) else { return };
    let name = fields.keys().nth(random.usize(..fields.len())).cloned().unwrap_or_default();
    let value = fields.remove(&name).unwrap_or_default();
    let other =
        ["body", "headers", "version", "httpMethod", "source", "resource", "Records", "cookies", "requestContext"];
    fields.insert(other[random.usize(..other.len())].to_owned(), value);
}

/// Sets a header, in one of the forms that headers have.
fn header(event: &mut Value, random: &mut Rng) {
    let names = ["authorization", "Authorization", "host", "Host", "content-type", "cookie", "", "a b", "x\r\n", "é"];
    let name = names[random.usize(..names.len())];
    let text = odd::text(random);
    let value = match random.u32(..4) {
        0 => json!(text.repeat(random.usize(1..200))),
        1 => json!([text, text]),
        2 => odd::value(random),
        _ => json!(text),
    };
    let form = ["headers", "multiValueHeaders"][random.usize(..2)];
    if let Some(Value::Object(headers)) = event.get_mut(form) {
        headers.insert(name.to_owned(), value);
    }
}

/// Sets one of the fields that `lambda_http` reads.
fn field(event: &mut Value, random: &mut Rng) {
    let fields = [
        "/rawPath",
        "/path",
        "/rawQueryString",
        "/queryStringParameters",
        "/multiValueQueryStringParameters",
        "/cookies",
        "/isBase64Encoded",
        "/pathParameters",
        "/stageVariables",
        "/httpMethod",
        "/requestContext/stage",
        "/requestContext/domainName",
        "/requestContext/http/method",
        "/requestContext/http/path",
        "/requestContext/elb",
        "/requestContext/authorizer",
        "/requestContext/identity",
        "/requestContext/timeEpoch",
        "/version",
        "/body",
    ];
    let (parent, name) = fields[random.usize(..fields.len())].rsplit_once('/').expect("a pointer");
    let text = odd::text(random);
    let value = match random.u32(..4) {
        0 => odd::value(random),
        1 => json!({ text: text }),
        2 => json!([text]),
        _ => json!(text),
    };
    if let Some(Value::Object(fields)) = event.pointer_mut(parent) {
        fields.insert(name.to_owned(), value);
    }
}

/// Sets a body, sometimes of 6 MB, which is Lambda's limit.
fn body(event: &mut Value, random: &mut Rng) {
    let Some(fields) = event.as_object_mut() else { return };
    let body = match random.u32(..60) {
        0 => " ".repeat(5_900_000),
        1 => "A".repeat(5_900_000),
        2 => format!("{{\"x\": \"{}\"}}", "y".repeat(65_536)),
        3..20 => format!("{{\"limit\": {}}}", odd::json(random)),
        20..30 => "eyJsaW1pdCI6MX0=\n".to_owned(),
        _ => odd::text(random).to_owned(),
    };
    fields.insert("body".into(), body.into());
    fields.insert("isBase64Encoded".into(), random.bool().into());
}

/// Changes a value a little: another character, another sign, another length.
fn spoil(value: &mut Value, random: &mut Rng) {
    *value = match value.take() {
        Value::String(text) if !text.is_empty() => {
            let mut characters: Vec<char> = text.chars().collect();
            let at = random.usize(..characters.len());
            characters[at] = char::from(random.u8(..));
            characters.into_iter().collect::<String>().into()
        }
        Value::Number(number) => {
            if random.bool() {
                json!(number.as_i64().map(i64::wrapping_neg))
            } else {
                json!(number.to_string())
            }
        }
        Value::Bool(flag) => json!(!flag),
        Value::Array(items) => json!([items.clone(), items]),
        other => json!([other]),
    };
}

/// Flips one bit such that the text stays JSON in UTF-8.
fn flipped(text: &str, random: &mut Rng) -> String {
    for _ in 0..20 {
        let mut bytes = text.as_bytes().to_vec();
        let at = random.usize(..bytes.len());
        bytes[at] ^= 1 << random.u32(..8);
        if let Ok(flipped) = String::from_utf8(bytes)
            && serde_json::from_str::<&RawValue>(&flipped).is_ok()
        {
            return flipped;
        }
    }
    text.to_owned()
}
