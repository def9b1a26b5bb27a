//! The fields of a body as JavaScript computes with them, and the range that the host's query API reads from the result.

use serde_json::Value;

/// A value where JavaScript expects a number or a text.
#[derive(Clone)]
enum Primitive {
    Number(f64),
    Text(String),
}

/// The parameters of the query.
pub struct Fields {
    /// As it is sent: `offset`, and `(offset + limit - 1) - offset + 1`.
    offset: String,
    limit: String,
    pub widget_id: Option<String>,
    pub status: Option<String>,
    pub from_date: Option<String>,
}

impl Fields {
    /// Reads a body; fails with the message of JavaScript's error if it is `null`.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(body);
        let body: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .unwrap_or(Value::Object([].into_iter().collect()));
        if body.is_null() {
            return Err("Cannot read properties of null (reading 'limit')".into());
        }
        let number = |name: &str, default: f64| body.get(name).map_or(Primitive::Number(default), primitive);
        let (limit, offset) = (number("limit", 50.0), number("offset", 0.0));
        let rows = minus_one(&plus(&offset, &limit)) - to_number(&offset) + 1.0;
        let filter = |name: &str| body.get(name).filter(|value| is_truthy(value)).map(text_of);
        Ok(Self {
            offset: body.get("offset").map_or("0".into(), text_of),
            limit: number_text(rows),
            widget_id: filter("widget_id"),
            status: filter("status"),
            from_date: filter("from_date"),
        })
    }

    /// Returns the first row and the number of rows; `None` if the query API rejects them. It reads an offset that is not
    /// an integer as 0, such a limit too, and an offset below 0 takes rows from the page.
    pub fn range(&self) -> Option<(i64, i64)> {
        let (offset, limit) = (integer(&self.offset), integer(&self.limit));
        let (offset, limit) = if offset < 0 { (0, limit.saturating_add(offset)) } else { (offset, limit) };
        (limit > 0 || (limit == 0 && offset == 0)).then_some((offset, limit))
    }
}

/// Reads an integer of any length; those beyond 64 bits have the same effect as the largest one.
fn integer(text: &str) -> i64 {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX })
}

fn primitive(value: &Value) -> Primitive {
    match value {
        Value::Null => Primitive::Number(0.0),
        Value::Bool(value) => Primitive::Number(f64::from(u8::from(*value))),
        Value::Number(number) => Primitive::Number(number.as_f64().unwrap_or(f64::NAN)),
        value => Primitive::Text(text_of(value)),
    }
}

/// `${value}`
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number_text(number.as_f64().unwrap_or(f64::NAN)),
        Value::Array(items) => {
            let items = items.iter().map(|item| if item.is_null() { String::new() } else { text_of(item) });
            items.collect::<Vec<_>>().join(",")
        }
        Value::Object(_) => "[object Object]".into(),
        value => value.to_string(),
    }
}

/// Rust writes a number as JavaScript does, except from 1e21 on.
fn number_text(number: f64) -> String {
    if number.abs() < 1e21 { number.to_string() } else { format!("{number:e}") }
}

/// `a + b`, which joins if one is a text.
fn plus(a: &Primitive, b: &Primitive) -> Primitive {
    match (a, b) {
        (Primitive::Number(a), Primitive::Number(b)) => Primitive::Number(a + b),
        _ => Primitive::Text(to_text(a) + &to_text(b)),
    }
}

fn minus_one(value: &Primitive) -> f64 {
    to_number(value) - 1.0
}

fn to_text(value: &Primitive) -> String {
    match value {
        Primitive::Number(number) => number_text(*number),
        Primitive::Text(text) => text.clone(),
    }
}

fn to_number(value: &Primitive) -> f64 {
    match value {
        Primitive::Number(number) => *number,
        Primitive::Text(text) if text.trim().is_empty() => 0.0,
        Primitive::Text(text) => text.trim().parse().unwrap_or(f64::NAN),
    }
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}
