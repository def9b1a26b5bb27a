//! Requests as events of API Gateway.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::{self, Request};
use serde_json::Value;

use crate::{Arrival, gateway::event};

pub const PATH: &str = "/functions/v1/list-chat-sessions";

/// Makes the event of a POST with a token and a body.
pub fn post(token: &str, body: &str) -> Value {
    request("POST", &[("authorization", &format!("Bearer {token}"))], body.as_bytes())
}

/// Makes the event of any request.
///
/// # Panics
///
/// If it is not valid HTTP.
pub fn request(method: &str, headers: &[(&str, &str)], body: &[u8]) -> Value {
    let mut request = Request::builder().method(method).uri(PATH);
    for (name, value) in headers {
        if name.eq_ignore_ascii_case("authorization") {
            crate::secrecy::keep_token(value);
        }
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).map(http::Request::into_parts).unwrap();
    event(&parts, body, &Arrival::now(IpAddr::V4(Ipv4Addr::LOCALHOST)))
}
