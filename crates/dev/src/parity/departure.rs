//! Explains two responses with different statuses by the contract's table of differences. Each rule looks at the request,
//! so a valid request that gets 400 is never explained.

use jiff::{Timestamp, civil::DateTime};
use serde_json::Value;
use uuid::Uuid;

use super::{
    answer::{Answer, Members},
    class::Class,
    requests::ParityRequest,
};

/// The contract's limits.
const LIMIT_MAX: f64 = 100.0;
const BODY_MAX: usize = 65_536;

const FIELDS: [&str; 5] = ["limit", "offset", "widget_id", "status", "from_date"];

pub fn departure(request: &ParityRequest, old: &Answer, new: &Answer) -> Option<Class> {
    let is_listing = old.page().is_some();
    let is_rejected = old.status == 500 && matches!(old.code(), Some("query_error" | "server_error"));
    match (new.status, new.code()) {
        (405, Some("method_not_allowed")) | (404, None) => {
            let is_other = !matches!(request.method.as_str(), "POST" | "OPTIONS");
            (is_other && (is_listing || is_rejected || old.status == 401)).then_some(Class::Method)
        }
        (401, Some("unauthorized")) if is_listing => rejected_token(request),
        (200, None) if old.status == 401 && new.page().is_some() => accepted_token(request),
        (413, Some("payload_too_large")) if is_listing || is_rejected => {
            (request.body.len() > BODY_MAX).then_some(Class::LargeBody)
        }
        (400, Some("validation_error")) if is_listing || is_rejected => violation(&request.body, is_rejected),
        (200, None) if is_rejected => empty_page(request, new),
        _ => None,
    }
}

/// Returns whether `limit` or `offset` is `null`, so that the old endpoint lists something else.
pub fn has_null_number(request: &ParityRequest) -> bool {
    let is_null = |fields: &Members<Value>, name| fields.get(name) == Some(&Value::Null);
    fields(&request.body).is_some_and(|fields| is_null(&fields, "limit") || is_null(&fields, "offset"))
}

fn fields(body: &[u8]) -> Option<Members<Value>> {
    serde_json::from_slice(body).ok()
}

fn rejected_token(request: &ParityRequest) -> Option<Class> {
    let value = request.header("authorization")?;
    match value.split_once(' ') {
        None => Some(Class::RawToken),
        Some(("Bearer", token)) => {
            (token.starts_with("eyJ") && token.split('.').count() == 3).then_some(Class::SessionToken)
        }
        Some(_) => None,
    }
}

fn accepted_token(request: &ParityRequest) -> Option<Class> {
    let (scheme, token) = request.header("authorization")?.split_once(' ')?;
    let is_unusual = scheme != "Bearer" || token.starts_with(' ');
    (scheme.eq_ignore_ascii_case("bearer") && is_unusual).then_some(Class::Scheme)
}

fn empty_page(request: &ParityRequest, new: &Answer) -> Option<Class> {
    if has_null_number(request) {
        return Some(Class::NullNumber);
    }
    let fields = fields(&request.body)?;
    let page = new.page().filter(|page| page.sessions.is_empty())?;
    let offset = fields.get("offset")?.as_f64()?;
    if page.total.as_f64()? < offset {
        return Some(Class::PastTheEnd);
    }
    (fields.get("limit")?.as_f64()? == 0.0 && offset > 0.0).then_some(Class::LimitZero)
}

/// Returns the first rule of the contract's request table that a body breaks.
fn violation(body: &[u8], is_rejected: bool) -> Option<Class> {
    if body.starts_with(b"\xef\xbb\xbf") || str::from_utf8(body).is_err() {
        return Some(Class::Encoding);
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return None;
    }
    let Some(fields) = fields(body) else { return Some(Class::NotAnObject) };
    if FIELDS.iter().any(|field| fields.names().filter(|name| name == field).count() > 1) {
        return Some(Class::Encoding);
    }
    FIELDS.iter().filter_map(|name| Some((*name, fields.get(name)?))).find_map(|(name, value)| match (name, value) {
        (_, Value::Null) => None,
        ("limit" | "offset", Value::Number(number)) => match number.as_f64()? {
            number if number.fract() != 0.0 => Some(Class::WrongType),
            number if number < 0.0 => Some(Class::NegativeNumber),
            number => (name == "limit" && number > LIMIT_MAX).then_some(Class::LimitAboveMax),
        },
        ("limit" | "offset", _) => Some(Class::WrongType),
        (_, Value::Bool(false)) => Some(Class::FalsyFilter),
        (_, Value::Number(number)) if number.as_f64() == Some(0.0) => Some(Class::FalsyFilter),
        (_, Value::String(text)) if text.is_empty() => None,
        ("status", Value::String(text)) => {
            (!matches!(text.as_str(), "active" | "closed")).then_some(Class::UnknownStatus)
        }
        ("widget_id", Value::String(text)) if is_documented_uuid(text) => None,
        ("from_date", Value::String(text)) if is_documented_date(text) => None,
        (_, Value::String(_)) if is_rejected => Some(Class::BadValue),
        ("widget_id", Value::String(_)) => Some(Class::UuidGrouping),
        (_, Value::String(_)) => Some(Class::PostgresDate),
        _ => Some(Class::WrongType),
    })
}

fn is_documented_uuid(text: &str) -> bool {
    let digits = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    matches!(digits.len(), 32 | 36) && Uuid::try_parse(digits).is_ok()
}

fn is_documented_date(text: &str) -> bool {
    let is_calendar = text.as_bytes().get(4) == Some(&b'-') && text.as_bytes().get(7) == Some(&b'-');
    is_calendar && !text.contains('[') && (text.parse::<DateTime>().is_ok() || text.parse::<Timestamp>().is_ok())
}
