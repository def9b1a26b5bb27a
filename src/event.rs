//! An event as Lambda delivers it, on its way to [`handle`] and back.
//!
//! `lambda_http` makes requests of events and events of responses. What it cannot read, and what it would panic over,
//! is dealt with here, so that an event can be wrong in any way and costs nobody but itself.

use std::convert::Infallible;

use base64::{Engine, prelude::BASE64_STANDARD};
use lambda_http::{
    Adapter, Body, Error, LambdaEvent, Request, Response, Service,
    aws_lambda_events::{apigw::ApiGatewayV2httpResponse, query_map::QueryMap},
    http::{HeaderMap, header::HOST},
    lambda_runtime,
    request::LambdaRequest,
    service_fn,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::{
    app::App,
    handler::{handle, refuse, warm_up},
};

/// Serves events until Lambda ends the environment.
///
/// # Errors
///
/// If the Runtime API cannot be reached.
pub async fn serve(app: &App) -> Result<(), Error> {
    let http = Adapter::from(service_fn(move |request: Request| handle(app, request)));
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Event>| {
        let mut http = http.clone();
        async move {
            let LambdaEvent { payload, context, .. } = event;
            Ok::<_, Infallible>(match payload {
                Event::Http(request) => Reply::Http(http.call(LambdaEvent::new(reduce(*request), context)).await?),
                Event::WarmUp => Reply::Other(reply(warm_up(app, &context).await)),
                Event::Unknown => Reply::Other(reply(refuse(app, &context))),
            })
        }
    }))
    .await
}

/// What an event can be.
enum Event {
    Http(Box<LambdaRequest>),
    /// A rule of EventBridge keeps the environment warm.
    WarmUp,
    Unknown,
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Scheduled {
            source: String,
        }

        let event = Box::<RawValue>::deserialize(deserializer)?;
        Ok(match serde_json::from_str::<LambdaRequest>(event.get()) {
            Ok(request) => Self::Http(Box::new(request)),
            Err(_) => match serde_json::from_str(event.get()) {
                Ok(Scheduled { source }) if source == "aws.events" => Self::WarmUp,
                _ => Self::Unknown,
            },
        })
    }
}

/// The answer in the form of whoever sent the event, or in API Gateway's if nobody knows who did.
#[derive(Serialize)]
#[serde(untagged)]
enum Reply<R> {
    Http(R),
    Other(Box<ApiGatewayV2httpResponse>),
}

fn reply(response: Response<Body>) -> Box<ApiGatewayV2httpResponse> {
    let mut reply = Box::<ApiGatewayV2httpResponse>::default();
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
