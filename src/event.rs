//! An event as Lambda delivers it, on its way to [`handle`] and back.
//!
//! `lambda_http` makes requests of events and events of responses. What it cannot read, and what it would panic over,
//! is dealt with here, so that an event can be wrong in any way and costs nobody but itself.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::FutureExt;
use lambda_http::{
    Adapter, Body, Context, LambdaEvent, Request, Response, Service,
    aws_lambda_events::{apigw::ApiGatewayV2httpResponse, query_map::QueryMap},
    http::{HeaderMap, header::HOST},
    request::LambdaRequest,
    service_fn,
};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{
    app::App,
    error::Error,
    handler::{handle, refuse, warm_up},
};

/// Answers one event, whatever it is and whatever happens, in JSON.
pub async fn answer(app: &App, event: &[u8], context: Context) -> Vec<u8> {
    // Reading panics too: `http` over more than 24,576 headers, which only a direct invocation can have.
    // https://docs.rs/http/1/http/header/struct.HeaderMap.html#panics
    let event = catch_unwind(|| Event::read(event)).unwrap_or(Event::Unknown);
    let answered = AssertUnwindSafe(dispatch(app, event, context.clone())).catch_unwind().await;
    let panicked = |_| to_json(&reply(refuse(app, &context, Error::Internal("a panic, see its own line".into()))));
    answered.unwrap_or_else(panicked)
}

async fn dispatch(app: &App, event: Event, context: Context) -> Vec<u8> {
    match event {
        Event::Http(request) => {
            let mut http = Adapter::from(service_fn(|request: Request| handle(app, request)));
            let Ok::<_, Infallible>(response) = http.call(LambdaEvent::new(reduce(*request), context)).await;
            to_json(&response)
        }
        Event::WarmUp => to_json(&reply(warm_up(app, &context).await)),
        Event::Unknown => {
            let error = Error::Validation("the event is not an HTTP request".into());
            to_json(&reply(refuse(app, &context, error)))
        }
    }
}

/// What an event can be.
enum Event {
    Http(Box<LambdaRequest>),
    /// A rule of EventBridge keeps the environment warm.
    WarmUp,
    Unknown,
}

/// What tells one kind of event from another.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signs<'a> {
    source: Option<&'a str>,
    request_context: Option<RequestContext>,
}

#[derive(Deserialize)]
struct RequestContext {
    http: Option<IgnoredAny>,
}

impl Event {
    fn read(event: &[u8]) -> Self {
        let signs = serde_json::from_slice(event).unwrap_or(Signs { source: None, request_context: None });
        // Read at once as what it is; `lambda_http` would try the kinds one after the other, and this one second.
        if signs.request_context.is_some_and(|context| context.http.is_some())
            && let Ok(request) = serde_json::from_slice(event)
        {
            return Self::Http(Box::new(LambdaRequest::ApiGatewayV2(request)));
        }
        match serde_json::from_slice(event) {
            Ok(request) => Self::Http(Box::new(request)),
            Err(_) if signs.source == Some("aws.events") => Self::WarmUp,
            Err(_) => Self::Unknown,
        }
    }
}

fn to_json(answer: &impl Serialize) -> Vec<u8> {
    // Fails for maps with keys that are no strings alone, and there is none.
    serde_json::to_vec(answer).expect("an answer is JSON")
}

/// The answer in the form of API Gateway, for whoever sent an event that is no request.
fn reply(response: Response<Body>) -> ApiGatewayV2httpResponse {
    let mut reply = ApiGatewayV2httpResponse::default();
    reply.status_code = response.status().as_u16().into();
    reply.headers = response.headers().clone();
    reply.body = Some(response.into_body());
    reply
}

/// Leaves out what no answer depends on: path, query string and host. `lambda_http` would make a URI of them, and
/// panics over those that make none.
fn reduce(mut request: LambdaRequest) -> LambdaRequest {
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
            reduce_headers(&mut event.headers, &mut event.multi_value_headers);
            event.is_base64_encoded = is_base64(event.is_base64_encoded, &mut event.body);
        }
        LambdaRequest::Alb(event) => {
            event.path = None;
            event.query_string_parameters = QueryMap::default();
            event.multi_value_query_string_parameters = QueryMap::default();
            reduce_headers(&mut event.headers, &mut event.multi_value_headers);
            event.is_base64_encoded = is_base64(event.is_base64_encoded, &mut event.body);
        }
        // The features of `lambda_http` that are on know no other.
        _ => {}
    }
    request
}

/// Where an event has its headers twice, those with one value each would hide that a token came twice.
fn reduce_headers(single: &mut HeaderMap, multiple: &mut HeaderMap) {
    if !multiple.is_empty() {
        single.clear();
    }
    single.remove(HOST);
    multiple.remove(HOST);
}

/// Whether the body is to be decoded. One that says so and cannot be is made a body that is no JSON either.
fn is_base64(claimed: bool, body: &mut Option<String>) -> bool {
    match body {
        Some(text) if claimed && BASE64_STANDARD.decode(&*text).is_err() => {
            "not base64".clone_into(text);
            false
        }
        _ => claimed,
    }
}
