//! Turns an event into a request, and the response into JSON for Lambda.
//!
//! A malformed event, or a panic, fails only its own invocation.

mod sanitize;

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::{FutureExt, TryFutureExt};
use lambda_http::{Adapter, Body, Context, LambdaEvent, Request, Response, Service, service_fn};
use serde::Serialize;

use self::sanitize::{Event, strip_unused, to_gateway_response};
use crate::{app::App, error::Error, handler, response};

/// Processes one event of any form into JSON.
///
/// # Errors
///
/// Never: a failure is a response too.
pub async fn process(app: &App, event: &[u8], context: Context) -> Result<Vec<u8>, Infallible> {
    let event = sanitize::read(event);
    let json = AssertUnwindSafe(dispatch(app, event, context.clone())).catch_unwind().await;
    Ok(json.unwrap_or_else(|_| {
        let error = Error::Internal("a panic, see its own line".into());
        gateway_json(handler::reject(app, &context, error))
    }))
}

async fn dispatch(app: &App, event: Event, context: Context) -> Vec<u8> {
    match event {
        Event::Http(request) => {
            let size = AtomicUsize::new(0);
            let set_size =
                |response: &Response<Body>| size.store(response::size_in_envelope(response), Ordering::Relaxed);
            let mut http =
                Adapter::from(service_fn(|request: Request| handler::handle(app, request).inspect_ok(set_size)));
            let Ok::<_, Infallible>(response) = http.call(LambdaEvent::new(strip_unused(*request), context)).await;
            to_json(&response, size.into_inner())
        }
        Event::WarmUp => gateway_json(handler::warm_up(app, &context).await),
        Event::Unknown => {
            let error = Error::Validation("the event is not an HTTP request".into());
            gateway_json(handler::reject(app, &context, error))
        }
    }
}

/// The response to an event that is not a request.
fn gateway_json(response: Response<Body>) -> Vec<u8> {
    let size = response::size_in_envelope(&response);
    to_json(&to_gateway_response(response), size)
}

/// Serializes a response into a buffer of `size` bytes, so that a large page's buffer does not grow by doubling.
fn to_json(response: &impl Serialize, size: usize) -> Vec<u8> {
    let mut json = Vec::with_capacity(size);
    serde_json::to_writer(&mut json, response).expect("all keys are strings");
    json
}
