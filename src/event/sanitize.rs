//! Workarounds for `lambda_http` 1.3, which panics over some events and misreads others. `docs/upstream.md` describes
//! those that are not reported yet.

use std::panic::catch_unwind;

use base64::{Engine, prelude::BASE64_STANDARD};
use lambda_http::{
    Body, Response,
    aws_lambda_events::{apigw::ApiGatewayV2httpResponse, query_map::QueryMap},
    http::{HeaderMap, header::HOST},
    request::LambdaRequest,
};
use serde::Deserialize;

pub(super) enum Event {
    Http(Box<LambdaRequest>),
    /// An `EventBridge` rule keeps the environment warm.
    WarmUp,
    Unknown,
}

/// The field that distinguishes events that are not requests.
#[derive(Deserialize)]
struct EventShape<'a> {
    source: &'a str,
}

/// Reads an event. A [`HeaderMap`] panics over more than 24,576 headers (<https://github.com/hyperium/http/issues/603>),
/// and `lambda_http` deserializes into one. Only a direct invocation can carry so many.
pub(super) fn read(event: &[u8]) -> Event {
    catch_unwind(|| parse(event)).unwrap_or(Event::Unknown)
}

fn parse(event: &[u8]) -> Event {
    if let Ok(request) = serde_json::from_slice(event) {
        return Event::Http(Box::new(request));
    }
    match serde_json::from_slice(event) {
        Ok(EventShape { source: "aws.events" }) => Event::WarmUp,
        _ => Event::Unknown,
    }
}

/// Removes path, query and host, which no response depends on: `lambda_http` builds a URI from them and panics if it is
/// invalid (<https://github.com/aws/aws-lambda-rust-runtime/issues/515> was one case; docs/upstream.md lists more).
pub(super) fn strip_unused(mut request: LambdaRequest) -> LambdaRequest {
    match &mut request {
        LambdaRequest::ApiGatewayV2(event) => {
            (event.raw_path, event.raw_query_string) = (None, None);
            (event.request_context.stage, event.request_context.domain_name) = (None, None);
            event.headers.remove(HOST);
            event.is_base64_encoded = is_base64(event.is_base64_encoded, &mut event.body);
        }
        LambdaRequest::ApiGatewayV1(event) => {
            event.path = None;
            event.query_string_parameters = QueryMap::default();
            event.multi_value_query_string_parameters = QueryMap::default();
            (event.request_context.stage, event.request_context.domain_name) = (None, None);
            keep_multi_value_headers(&mut event.headers, &mut event.multi_value_headers);
            event.is_base64_encoded = is_base64(event.is_base64_encoded, &mut event.body);
        }
        LambdaRequest::Alb(event) => {
            event.path = None;
            event.query_string_parameters = QueryMap::default();
            event.multi_value_query_string_parameters = QueryMap::default();
            keep_multi_value_headers(&mut event.headers, &mut event.multi_value_headers);
            event.is_base64_encoded = is_base64(event.is_base64_encoded, &mut event.body);
        }
        // The enabled features of `lambda_http` have no other variant.
        _ => {}
    }
    request
}

/// Drops `headers` if the event has `multiValueHeaders` too: `lambda_http` would overwrite all values of a header with
/// the last one, and a token that was sent twice would be accepted (docs/upstream.md).
fn keep_multi_value_headers(single: &mut HeaderMap, multiple: &mut HeaderMap) {
    if !multiple.is_empty() {
        single.clear();
    }
    single.remove(HOST);
    multiple.remove(HOST);
}

/// Whether `lambda_http` is to decode the body. It panics over one that claims to be base64 but is not
/// (docs/upstream.md); such a body becomes invalid JSON, so that the caller gets a 400.
fn is_base64(claimed: bool, body: &mut Option<String>) -> bool {
    match body {
        Some(text) if claimed && BASE64_STANDARD.decode(&*text).is_err() => {
            "not base64".clone_into(text);
            false
        }
        _ => claimed,
    }
}

/// The response to an event that is not a request, for which `lambda_http` has no form: API Gateway's.
pub(super) fn to_gateway_response(response: Response<Body>) -> ApiGatewayV2httpResponse {
    let mut gateway = ApiGatewayV2httpResponse::default();
    gateway.status_code = response.status().as_u16().into();
    gateway.headers = response.headers().clone();
    gateway.body = Some(response.into_body());
    gateway
}
