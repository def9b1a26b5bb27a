//! Polls Lambda's Runtime API for events, one at a time, and posts each response.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
//!
//! The loop in `lambda_runtime` 1.5 leaks 126 bytes per event, 130 MB after a million: it writes the trace id into the
//! process's environment, and the GNU C library never frees a value (docs/upstream.md). Nothing here reads that
//! variable. The client, `Context` and `Config` of `lambda_runtime` are used as they are.

use std::{fmt::Display, sync::Arc};

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

const INVOCATION: &str = "/2018-06-01/runtime/invocation";

/// Sent back with the response, so that Lambda can reject one that arrives after its invocation has ended. Older
/// environments do not send it.
const INVOCATION_ID: &str = "lambda-runtime-invocation-id";

const DEADLINE: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");
const TRACE_ID: HeaderName = HeaderName::from_static("lambda-runtime-trace-id");

/// Serves events until Lambda ends the environment. `process` returns the response, or the text of a failure: Lambda then
/// counts the invocation as failed. With an error type that has no values, the code for failures is not compiled.
///
/// # Errors
///
/// If the Runtime API is unreachable or violates its protocol; the environment cannot serve events then.
///
/// # Panics
///
/// If a variable is missing that Lambda sets, such as `AWS_LAMBDA_RUNTIME_API`.
pub async fn serve<E: Display>(process: impl AsyncFn(&[u8], Context) -> Result<Vec<u8>, E>) -> Result<(), Error> {
    let client = PooledClient::builder().build();
    let config = Arc::new(Config::from_env());
    loop {
        if let Some(invocation) = poll(&client, &config).await? {
            let request_id = invocation.context.request_id.clone();
            let outcome = process(&invocation.event, invocation.context).await;
            post(&client, &request_id, invocation.id, outcome).await?;
        }
    }
}

struct Invocation {
    event: Bytes,
    context: Context,
    id: Option<HeaderValue>,
}

/// The next event, or `None` if `cargo lambda watch` had none for so long that the function must poll again.
async fn poll(client: &PooledClient, config: &Arc<Config>) -> Result<Option<Invocation>, Error> {
    let request = build_request().method(Method::GET).uri(format!("{INVOCATION}/next")).body(Body::default())?;
    let (head, body) = client.call(request).await?.into_parts();
    match head.status {
        StatusCode::OK => {}
        StatusCode::NO_CONTENT => return Ok(None),
        status => return Err(format!("the Runtime API returned {status} when polled for an event").into()),
    }
    let request_id = head.headers.get("lambda-runtime-aws-request-id").ok_or("an event has no request id")?;
    let context = context(request_id.to_str()?, config, &head.headers);
    let id = head.headers.get(INVOCATION_ID).cloned();
    Ok(Some(Invocation { event: body.collect().await?.to_bytes(), context, id }))
}

/// The fields of an event's context that this function uses. `Context::new` also parses the client context and the
/// Cognito identity, which an invoker can set to anything: it fails if they are not of the expected types, and panics if the
/// deadline is missing.
fn context(request_id: &str, config: &Arc<Config>, headers: &HeaderMap) -> Context {
    let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let mut context = Context::default();
    request_id.clone_into(&mut context.request_id);
    context.env_config = Arc::clone(config);
    context.xray_trace_id = text(TRACE_ID).map(Into::into);
    // 0 means no deadline, see `Deadline::of_invocation`.
    context.deadline = text(DEADLINE).and_then(|milliseconds| milliseconds.parse().ok()).unwrap_or_default();
    context
}

/// Posts a response or a failure. If Lambda rejects it, because it is too late or too large, Lambda reports that itself.
async fn post<E: Display>(
    client: &PooledClient,
    request_id: &str,
    id: Option<HeaderValue>,
    outcome: Result<Vec<u8>, E>,
) -> Result<(), Error> {
    let (path, body) = match outcome {
        Ok(response) => ("response", response),
        Err(error) => ("error", failure(&error)),
    };
    let uri = format!("{INVOCATION}/{request_id}/{path}");
    let mut request: Request<Body> = build_request().method(Method::POST).uri(uri).body(body.into())?;
    if let Some(id) = id {
        request.headers_mut().insert(INVOCATION_ID, id);
    }
    // Read to its end, so that the connection can be reused.
    client.call(request).await?.into_body().collect().await?;
    Ok(())
}

fn failure(error: &dyn Display) -> Vec<u8> {
    serde_json::json!({ "errorType": "Error", "errorMessage": error.to_string() }).to_string().into_bytes()
}
