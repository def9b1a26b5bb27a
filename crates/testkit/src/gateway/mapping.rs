//! The two mappings of an HTTP API with payload format 2.0, without I/O.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use std::{collections::BTreeMap, net::IpAddr};

use anyhow::{Context, Result};
use axum::{
    body::Body,
    http::{HeaderMap, Response, header, request::Parts},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::{Value, json};

pub struct Arrival {
    pub source: IpAddr,
    pub request_id: String,
    pub at: Timestamp,
}

impl Arrival {
    pub fn now(source: IpAddr) -> Self {
        Self { source, request_id: crate::secrets::random_id(), at: Timestamp::now() }
    }
}

pub fn event(parts: &Parts, body: &[u8], arrival: &Arrival) -> Value {
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    let mut headers = joined(&parts.headers);
    // The gateway moves cookies out of the headers and adds those of the connection.
    let cookies: Option<Vec<String>> =
        headers.remove("cookie").map(|all| all.split(';').map(|cookie| cookie.trim().to_owned()).collect());
    headers.insert("x-forwarded-for".into(), arrival.source.to_string());
    headers.insert("x-forwarded-proto".into(), "http".into());
    let host = headers.get("host").cloned().unwrap_or_default();
    let domain = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);

    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "localhost",
            "domainName": domain,
            "domainPrefix": domain.split('.').next(),
            "http": {
                "method": parts.method.as_str(),
                "path": path,
                "protocol": format!("{:?}", parts.version),
                "sourceIp": arrival.source.to_string(),
                "userAgent": headers.get("user-agent").map_or("", String::as_str),
            },
            "requestId": arrival.request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": arrival.at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": arrival.at.as_millisecond(),
        },
        "isBase64Encoded": false,
    });
    if let Some(cookies) = cookies {
        event["cookies"] = json!(cookies);
    }
    if !query.is_empty() {
        event["queryStringParameters"] = json!(parameters(query));
    }
    match std::str::from_utf8(body) {
        Ok("") => {}
        Ok(text) => event["body"] = text.into(),
        Err(_) => {
            event["body"] = BASE64_STANDARD.encode(body).into();
            event["isBase64Encoded"] = true.into();
        }
    }
    event
}

/// Joins the values of each header with commas. Bytes that are not UTF-8 are read as Latin-1.
fn joined(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut joined = BTreeMap::new();
    for (name, value) in headers {
        let text = std::str::from_utf8(value.as_bytes())
            .map_or_else(|_| value.as_bytes().iter().copied().map(char::from).collect(), ToOwned::to_owned);
        append(&mut joined, name.as_str().to_owned(), &text, if *name == header::COOKIE { ";" } else { "," });
    }
    joined
}

/// Decodes the parameters of a query; repeated ones are joined with commas.
fn parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        append(&mut parameters, decoded(name), &decoded(value), ",");
    }
    parameters
}

fn append(map: &mut BTreeMap<String, String>, name: String, value: &str, separator: &str) {
    map.entry(name).and_modify(|all| *all = format!("{all}{separator}{value}")).or_insert_with(|| value.to_owned());
}

/// Decodes percent signs and plus signs in a part of a query; invalid escapes stay as they are.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        let escaped = (*first == b'%').then(|| Some(digit(0)? * 16 + digit(1)?)).flatten();
        match escaped.and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => bytes.push(byte),
            None => bytes.push(if *first == b'+' { b' ' } else { *first }),
        }
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Maps the function's response to an HTTP response. Fails if its status, headers or body are invalid; the gateway then
/// returns 500.
pub fn to_http_response(value: &Value) -> Result<Response<Body>> {
    let Some(status) = value.get("statusCode") else {
        // Without a status, the whole value is the body of a success.
        return Ok(Response::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .body(value.to_string().into())?);
    };
    let status = status.as_u64().and_then(|status| u16::try_from(status).ok()).context("statusCode is not a status")?;
    let mut response = Response::builder().status(status);
    let several = value["multiValueHeaders"].as_object().into_iter().flatten();
    for (name, values) in several.clone() {
        for value in values.as_array().into_iter().flatten().filter_map(Value::as_str) {
            response = response.header(name, value);
        }
    }
    for (name, value) in value["headers"].as_object().into_iter().flatten() {
        if !several.clone().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            response = response.header(name, value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned));
        }
    }
    for cookie in value["cookies"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        response = response.header(header::SET_COOKIE, cookie);
    }
    let text = value["body"].as_str().unwrap_or_default();
    let encoded = value["isBase64Encoded"].as_bool().unwrap_or_default();
    let body = if encoded { BASE64_STANDARD.decode(text).context("body is not base64")? } else { text.into() };
    Ok(response.body(Body::from(body))?)
}
