//! Polls Lambda's Runtime API for events and posts each response: one event at a time, or on Lambda Managed Instances
//! several, each in a loop of its own.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
//!
//! The loop in `lambda_runtime` 1.5 leaks 126 bytes per event, 130 MB after a million: it writes the trace id into the
//! process's environment, and the GNU C library never frees a value (docs/upstream.md). Nothing here reads that
//! variable. Its `run_concurrent` does not, but polls without a pause while the Runtime API fails. The client, `Context`
//! and `Config` of `lambda_runtime` are used as they are.

mod shutdown;

use std::{fmt::Display, sync::Arc, time::Duration};

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
use tokio::{task::JoinSet, time::sleep};

pub use self::shutdown::Shutdown;

const INVOCATION: &str = "/2018-06-01/runtime/invocation";

/// Sent back with the response, so that Lambda can reject one that arrives after its invocation has ended. Older
/// environments do not send it.
const INVOCATION_ID: &str = "lambda-runtime-invocation-id";

const DEADLINE: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");
const TRACE_ID: HeaderName = HeaderName::from_static("lambda-runtime-trace-id");

/// The time that running events have to finish after Lambda's notice that the environment ends. Then they are dropped.
///
/// Lambda ends the process 500 ms after the notice. Half of that is for closing connections.
pub const FINISH_TIMEOUT: Duration = Duration::from_millis(150);

/// Serves up to `concurrency` events at a time until Lambda announces the end of the environment.
///
/// `process` returns the response, or the text of a failure: Lambda then counts the invocation as failed. With an error
/// type that has no values, the code for failures is not compiled.
///
/// # Errors
///
/// If the Runtime API is unreachable or violates its protocol; the environment cannot serve events then.
///
/// # Panics
///
/// If a variable is missing that Lambda sets, such as `AWS_LAMBDA_RUNTIME_API`.
pub async fn serve<P, F, E>(concurrency: usize, shutdown: Shutdown, process: P) -> Result<(), Error>
where
    P: Fn(Bytes, Context) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Vec<u8>, E>> + Send + 'static,
    E: Display + Send + 'static,
{
    let client = Arc::new(PooledClient::builder().with_pool_size(concurrency).build());
    let config = Arc::new(Config::from_env());
    let mut end = shutdown.clone();
    let loops = async {
        if concurrency == 1 {
            return serve_one_at_a_time(client, config, shutdown, process).await;
        }
        let one = || serve_one_at_a_time(client.clone(), config.clone(), shutdown.clone(), process.clone());
        let mut loops: JoinSet<_> = (0..concurrency).map(|_| one()).collect();
        while let Some(ended) = loops.join_next().await {
            ended??;
        }
        Ok(())
    };
    tokio::select! {
        biased;
        ended = loops => ended,
        () = async { end.begun().await; sleep(FINISH_TIMEOUT).await } => Ok(()),
    }
}

async fn serve_one_at_a_time<E: Display, F: Future<Output = Result<Vec<u8>, E>>>(
    client: Arc<PooledClient>,
    config: Arc<Config>,
    mut shutdown: Shutdown,
    process: impl Fn(Bytes, Context) -> F,
) -> Result<(), Error> {
    loop {
        let polled = tokio::select! {
            biased;
            polled = poll(&client, &config) => polled?,
            () = shutdown.begun() => return Ok(()),
        };
        if let Some(Invocation { event, context, id }) = polled {
            let request_id = context.request_id.clone();
            let outcome = process(event, context).await;
            post(&client, &request_id, id, outcome).await?;
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
