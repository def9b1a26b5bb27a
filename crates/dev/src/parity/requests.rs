//! The requests that both endpoints get: the documented forms, or the lines of a file.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context, Result, bail, ensure};
use axum::http::{HeaderName, HeaderValue, Method};
use serde_json::{Map, Value, json};

use super::answer::{Members, Page};

/// Widgets of the account that requests filter by.
const WIDGETS_MAX: usize = 5;

/// Lines of a file with requests.
const LINES_MAX: usize = 10_000;

/// One byte more than the contract's limit for a body.
const LARGE_BODY_BYTES: usize = 65_537;

/// A widget and a token that nobody has.
const UNKNOWN_WIDGET: &str = "00000000-0000-4000-8000-000000000000";
const UNKNOWN_TOKEN: &str = "Bearer mgp_0000000000000000000000000000000000000000";

/// Its headers have a token, so it is never shown.
#[derive(Clone)]
pub struct ParityRequest {
    pub name: String,
    pub method: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl ParityRequest {
    fn new(name: impl Into<String>, token: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = [("authorization", format!("Bearer {token}")), ("content-type", "application/json".to_owned())];
        Self {
            name: name.into(),
            method: "POST".to_owned(),
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            body: body.into(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.trim())
    }

    fn with(mut self, name: &str, value: Option<&str>) -> Self {
        self.headers.retain(|(header, _)| header != name);
        self.headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        self
    }

    fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }
}

/// A page for the widgets and dates of the account.
pub fn page(token: &str, offset: usize) -> ParityRequest {
    ParityRequest::new("first pages", token, json!({ "limit": 100, "offset": offset }).to_string())
}

/// What the default requests take from the account.
#[derive(Default)]
pub struct Account {
    widgets: BTreeSet<String>,
    created_at: Vec<String>,
    total: u64,
}

impl Account {
    pub fn add(&mut self, page: &Page) {
        self.total = page.total.as_u64().unwrap_or_default();
        for session in &page.sessions {
            let text = |name: &str| session.members.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
            self.created_at.extend(text("created_at"));
            if self.widgets.len() < WIDGETS_MAX {
                self.widgets.extend(text("widget_id"));
            }
        }
    }
}

/// Values of `from_date`: documented forms, forms that only PostgreSQL reads, and two that nothing reads.
const DATES: [&str; 13] = [
    "2024-01-15",
    "2024-01-15T10:30:00Z",
    "2024-01-15 10:30:00",
    "2024-01-15T10:30:00.5+05:30",
    "2024-01-15T10:30",
    "2999-01-01",
    "0001-01-01",
    "yesterday",
    "Jan 15 2024",
    "01/15/2024",
    "infinity",
    "2024-13-45",
    "abc",
];

/// Bodies of every other form, valid and invalid.
const BODIES: [&str; 35] = [
    "{}",
    r#"{"limit":20,"status":"active"}"#,
    r#"{"limit":0}"#,
    r#"{"limit":1}"#,
    r#"{"limit":20}"#,
    r#"{"limit":50}"#,
    r#"{"limit":100}"#,
    r#"{"limit":0,"offset":1}"#,
    r#"{"widget_id":"","status":"","from_date":""}"#,
    r#"{"widget_id":null,"status":null,"from_date":null}"#,
    r#"{"limit":null}"#,
    r#"{"offset":null}"#,
    r#"{"limit":2.0,"offset":1e0}"#,
    r#"{"limit":1,"unknown":{"field":[1]}}"#,
    r#"{"limit":101}"#,
    r#"{"limit":-1}"#,
    r#"{"limit":1.5}"#,
    r#"{"limit":"20"}"#,
    r#"{"limit":"20","offset":10}"#,
    r#"{"limit":[2]}"#,
    r#"{"limit":true}"#,
    r#"{"offset":-1}"#,
    r#"{"offset":"1"}"#,
    r#"{"offset":1.5}"#,
    r#"{"status":"archived"}"#,
    r#"{"status":false}"#,
    r#"{"status":["active"]}"#,
    r#"{"widget_id":"abc"}"#,
    r#"{"widget_id":0}"#,
    r#"{"from_date":0}"#,
    r#"{"limit":1,"limit":2}"#,
    r#"{"limit":1"#,
    "[]",
    "null",
    r#""limit""#,
];

/// The documented forms, and every invalid one that the contract's table of differences has.
pub fn defaults(token: &str, account: &Account) -> Vec<ParityRequest> {
    let json = |body: &str| ParityRequest::new(body, token, body);
    let mut requests: Vec<_> = BODIES.iter().map(|body| json(body)).collect();
    let total = account.total;
    let mut offsets = vec![0, 1, 20, 50, 100, total / 2, total.saturating_sub(1), total, total + 1, total + 1_000];
    offsets.sort_unstable();
    offsets.dedup();
    requests.extend(offsets.iter().map(|offset| json(&format!(r#"{{"limit":20,"offset":{offset}}}"#))));
    requests.extend(DATES.iter().map(|date| json(&format!(r#"{{"from_date":"{date}"}}"#))));
    requests.extend(filters(token, account));

    let raw = |name: &str, body: &[u8]| ParityRequest::new(name, token, body);
    let large = format!(r#"{{"limit":1,"unknown":"{}"}}"#, "x".repeat(LARGE_BODY_BYTES));
    requests.extend([
        raw("an empty body", b""),
        raw("a blank body", b" \n"),
        raw("a byte-order mark", b"\xef\xbb\xbf{\"limit\":1}"),
        raw("bytes that are not UTF-8", b"{\"limit\":1,\"unknown\":\"\xff\"}"),
        raw("a body over 64 KiB", large.as_bytes()),
    ]);
    requests.extend(messages(token));
    requests
}

/// Every combination of the filters, every widget, and every form of a widget's id.
fn filters(token: &str, account: &Account) -> Vec<ParityRequest> {
    let named = |name: &str, body: Value| ParityRequest::new(name, token, body.to_string());
    let mut requests = Vec::new();
    let mut dates = account.created_at.clone();
    dates.sort_unstable();
    let from = dates.get(dates.len() / 2).map_or("2024-01-15T10:30:00Z", String::as_str);
    let widget = account.widgets.first().map_or(UNKNOWN_WIDGET, String::as_str);
    for status in [None, Some("active"), Some("closed")] {
        for widget in [None, Some(widget)] {
            for from in [None, Some(from)] {
                let filters = [("status", status), ("widget_id", widget), ("from_date", from)];
                let given = || filters.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
                let words = given().map(|(name, value)| if name == "status" { value } else { name });
                let words = words.collect::<Vec<_>>().join(", ");
                let mut body: Map<_, _> = given().map(|(name, value)| (name.to_owned(), value.into())).collect();
                body.insert("limit".into(), 100.into());
                if !words.is_empty() {
                    requests.push(named(&format!("filter {words}"), body.into()));
                }
            }
        }
    }
    for (index, widget) in account.widgets.iter().enumerate().skip(1) {
        requests.push(named(&format!("filter widget_id, widget {}", index + 1), json!({ "widget_id": widget })));
    }
    let digits = widget.replace('-', "");
    let grouped: Vec<_> = digits.as_bytes().chunks(4).map(String::from_utf8_lossy).collect();
    for (name, id) in [
        ("an unknown widget_id", UNKNOWN_WIDGET.to_owned()),
        ("widget_id in upper case", widget.to_uppercase()),
        ("widget_id in braces", format!("{{{widget}}}")),
        ("widget_id with unusual grouping", grouped.join("-")),
        ("widget_id without hyphens", digits.clone()),
    ] {
        requests.push(named(name, json!({ "widget_id": id })));
    }
    requests
}

/// Methods, headers and tokens.
fn messages(token: &str) -> Vec<ParityRequest> {
    let one = |name: &str| ParityRequest::new(name, token, r#"{"limit":1}"#);
    let mut requests = vec![
        one("Content-Type text/plain").with("content-type", Some("text/plain")),
        one("no Content-Type").with("content-type", None),
        one("a token in apikey only").with("authorization", None).with("apikey", Some(token)),
    ];
    requests.extend(["GET", "PUT", "PATCH", "DELETE"].map(|method| one(method).method(method)));
    let preflight = |name| ParityRequest::new(name, token, "").method("OPTIONS").with("authorization", None);
    requests.push(preflight("OPTIONS"));
    let browser = preflight("OPTIONS of a browser").with("origin", Some("https://a.example"));
    requests.push(browser.with("access-control-request-method", Some("POST")));
    for (name, value) in [
        ("no token", None),
        ("an unknown token", Some(UNKNOWN_TOKEN.to_owned())),
        ("a token cut short", Some(format!("Bearer {}", &token[..token.len() - 1]))),
        ("Authorization Basic", Some("Basic bWdwOg==".to_owned())),
        ("a token without Bearer", Some(token.to_owned())),
        ("bearer in lower case", Some(format!("bearer {token}"))),
        ("two spaces after Bearer", Some(format!("Bearer  {token}"))),
    ] {
        requests.push(one(name).with("authorization", value.as_deref()));
    }
    requests
}

/// Reads a file of one JSON object for each line. Errors never quote it, because it may have tokens.
pub fn read(path: &Path, token: &str) -> Result<Vec<ParityRequest>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("--requests: cannot read {}", path.display()))?;
    let mut requests = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        ensure!(requests.len() < LINES_MAX, "--requests: {} has more than {LINES_MAX} requests", path.display());
        let number = index + 1;
        let request = parse(line, number, token);
        requests.push(request.with_context(|| format!("--requests: {} line {number}", path.display()))?);
    }
    ensure!(!requests.is_empty(), "--requests: {} has no requests", path.display());
    Ok(requests)
}

fn parse(line: &str, number: usize, token: &str) -> Result<ParityRequest> {
    let Ok(fields) = serde_json::from_str::<Members<Box<serde_json::value::RawValue>>>(line) else {
        bail!("is not a JSON object");
    };
    let text = |name: &str| -> Result<Option<String>> {
        let Some(json) = fields.get(name) else { return Ok(None) };
        match serde_json::from_str(json.get()) {
            Ok(text) => Ok(Some(text)),
            Err(_) => bail!("\"{name}\" must be a text"),
        }
    };
    for (name, _) in &fields.0 {
        let is_known = matches!(name.as_str(), "method" | "headers" | "body" | "body_text");
        ensure!(is_known, "has an unknown field; the fields are \"method\", \"headers\", \"body\" and \"body_text\"");
        ensure!(fields.names().filter(|other| other == name).count() == 1, "has \"{name}\" twice");
    }
    let body = match (fields.get("body"), text("body_text")?) {
        (Some(_), Some(_)) => bail!("has \"body\" and \"body_text\"; give one of them"),
        (Some(json), None) => json.get().to_owned(),
        (None, text) => text.unwrap_or_default(),
    };
    let method = text("method")?.unwrap_or_else(|| "POST".to_owned());
    ensure!(method.parse::<Method>().is_ok() && method != "CONNECT", "\"method\" is not an HTTP method");
    let mut request = ParityRequest::new(format!("line {number}"), token, body).method(&method);
    if let Some(headers) = fields.get("headers") {
        let headers: Result<Members<Option<String>>, _> = serde_json::from_str(headers.get());
        let Ok(headers) = headers else { bail!("\"headers\" must be an object of texts, or null for no such header") };
        for (name, value) in headers.0 {
            let name = name.to_ascii_lowercase();
            ensure!(name.parse::<HeaderName>().is_ok(), "\"headers\" has an invalid name");
            let is_valid = value.as_deref().is_none_or(|value| HeaderValue::from_str(value).is_ok());
            ensure!(is_valid, "\"headers\" has an invalid value for {name}");
            request = request.with(&name, value.as_deref());
        }
    }
    Ok(request)
}
