//! Lambda's Runtime API: takes one event after the other and hands back the answer to each.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
//!
//! `lambda_runtime` has such a loop as well. Its version 1.5 writes each event's trace id into the process's environment,
//! where the GNU C library keeps every value that was ever written: 126 bytes for each event, 130 MB after a million.
//! Nothing here reads that variable. Its client, its context and its configuration are used as they are.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use lambda_http::{
    Context, Error,
    http::{
        HeaderMap, Method, Request, StatusCode,
        header::{HeaderName, HeaderValue},
    },
    lambda_runtime::Config,
};
use lambda_runtime_api_client::{PooledClient, body::Body, build_request};

use crate::{app::App, event};

const INVOCATION: &str = "/2018-06-01/runtime/invocation";

/// Names the invocation to Lambda beside its request id, so that a late answer cannot meet another one. Older
/// environments do not send it.
const INVOCATION_ID: &str = "lambda-runtime-invocation-id";

const DEADLINE: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");
const TRACE_ID: HeaderName = HeaderName::from_static("lambda-runtime-trace-id");

/// Serves events until Lambda ends the environment.
///
/// # Errors
///
/// If the Runtime API cannot be reached or does not keep to its own rules: the environment is of no use then.
///
/// # Panics
///
/// If a variable is missing that Lambda sets, such as `AWS_LAMBDA_RUNTIME_API`.
pub async fn serve(app: &App) -> Result<(), Error> {
    let client = PooledClient::builder().build();
    let config = Arc::new(Config::from_env());
    loop {
        if let Some(invocation) = next(&client, &config).await? {
            let request_id = invocation.context.request_id.clone();
            let answer = event::answer(app, &invocation.event, invocation.context).await;
            respond(&client, &request_id, invocation.id, answer).await?;
        }
    }
}

struct Invocation {
    event: Bytes,
    context: Context,
    id: Option<HeaderValue>,
}

/// The next event, or none if there was none for so long that the API, `cargo lambda watch`'s, wants to be asked again.
async fn next(client: &PooledClient, config: &Arc<Config>) -> Result<Option<Invocation>, Error> {
    let request = build_request().method(Method::GET).uri(format!("{INVOCATION}/next")).body(Body::default())?;
    let (head, body) = client.call(request).await?.into_parts();
    match head.status {
        StatusCode::OK => {}
        StatusCode::NO_CONTENT => return Ok(None),
        status => return Err(format!("the Runtime API answers {status} to a request for the next event").into()),
    }
    let request_id = head.headers.get("lambda-runtime-aws-request-id").ok_or("an event without a request id")?;
    let context = context(request_id.to_str()?, config, &head.headers);
    let id = head.headers.get(INVOCATION_ID).cloned();
    Ok(Some(Invocation { event: body.collect().await?.to_bytes(), context, id }))
}

/// What is read of an event's context. `Context::new` would read the client context and the Cognito identity as well,
/// which an invoker writes freely: it fails over those that are not of its own types, and panics over a missing
/// deadline.
fn context(request_id: &str, config: &Arc<Config>, headers: &HeaderMap) -> Context {
    let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let mut context = Context::default();
    request_id.clone_into(&mut context.request_id);
    context.env_config = Arc::clone(config);
    context.xray_trace_id = text(TRACE_ID).map(Into::into);
    // 0 is no deadline, see `Deadline::of`.
    context.deadline = text(DEADLINE).and_then(|milliseconds| milliseconds.parse().ok()).unwrap_or_default();
    context
}

/// Hands an answer back. One that Lambda does not take, because it comes too late or is too large, is Lambda's to report.
async fn respond(
    client: &PooledClient,
    request_id: &str,
    id: Option<HeaderValue>,
    answer: Vec<u8>,
) -> Result<(), Error> {
    let uri = format!("{INVOCATION}/{request_id}/response");
    let mut request: Request<Body> = build_request().method(Method::POST).uri(uri).body(answer.into())?;
    if let Some(id) = id {
        request.headers_mut().insert(INVOCATION_ID, id);
    }
    // Read to its end, so that the connection serves the next request too.
    client.call(request).await?.into_body().collect().await?;
    Ok(())
}
