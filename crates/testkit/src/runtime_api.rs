//! A Lambda Runtime API for one process of the function, which polls for events and posts their outcomes, and the
//! Extensions API, with which the process asks for a notice of its end.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use anyhow::{Result, bail};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderValue, Response, StatusCode},
    response::IntoResponse,
    routing::{get, post},
};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Notify, oneshot},
    task::JoinSet,
};

use crate::lock;

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Response(Value),
    /// The function failed: `{"errorType": …, "errorMessage": …}`.
    Error(Value),
}

impl Outcome {
    /// Returns the response, or the function's error as an error.
    pub fn response(self) -> Result<Value> {
        match self {
            Self::Response(response) => Ok(response),
            Self::Error(error) => bail!("the function failed: {error}"),
        }
    }
}

/// A running Runtime API; dropping it stops it.
pub struct RuntimeApi {
    address: String,
    queue: Arc<InvocationQueue>,
    _server: JoinSet<()>,
}

/// The waiting events, and the callers that wait for the outcomes of the running ones.
#[derive(Default)]
struct InvocationQueue {
    waiting: Mutex<VecDeque<Event>>,
    arrived: Notify,
    running: Mutex<HashMap<String, oneshot::Sender<Outcome>>>,
    initialized: Notify,
    has_extension: AtomicBool,
}

struct Event {
    id: String,
    body: Bytes,
    deadline: SystemTime,
    headers: Headers,
}

/// Headers of an event to set or to remove, in addition to the usual ones.
pub type Headers = Vec<(&'static str, Option<Vec<u8>>)>;

impl RuntimeApi {
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        let queue = Arc::new(InvocationQueue::default());
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(async || StatusCode::ACCEPTED))
            .route("/2020-01-01/extension/register", post(register))
            .route("/2020-01-01/extension/event/next", get(next_extension_event))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&queue));
        let server = JoinSet::from_iter([async move { drop(axum::serve(listener, router).await) }]);
        Ok(Self { address, queue, _server: server })
    }

    /// Returns the value of `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns after the function's first poll for an event. May be called once.
    pub async fn initialized(&self) {
        self.queue.initialized.notified().await;
    }

    /// Returns whether the process has registered an extension, so that Lambda would announce its end.
    pub fn has_extension(&self) -> bool {
        self.queue.has_extension.load(Ordering::Relaxed)
    }

    /// Sends an event to the function and waits for its outcome. Callers decide how many events run at a time. Fails on a
    /// timeout, when Lambda would end the process.
    pub async fn invoke(&self, event: impl Into<Bytes>, timeout: Duration) -> Result<Outcome> {
        self.invoke_as(crate::secrets::random_id(), event, Headers::new(), timeout).await
    }

    /// Sends an event with an id of the caller and changed headers.
    pub async fn invoke_as(
        &self,
        id: String,
        event: impl Into<Bytes>,
        headers: Headers,
        timeout: Duration,
    ) -> Result<Outcome> {
        let (sender, outcome) = oneshot::channel();
        lock(&self.queue.running).insert(id.clone(), sender);
        let deadline = SystemTime::now() + timeout;
        lock(&self.queue.waiting).push_back(Event { id, body: event.into(), deadline, headers });
        self.queue.arrived.notify_one();
        match tokio::time::timeout(timeout, outcome).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => bail!("Task timed out after {:.2} seconds", timeout.as_secs_f64()),
        }
    }
}

async fn next(State(queue): State<Arc<InvocationQueue>>) -> Response<Body> {
    queue.initialized.notify_one();
    let event = loop {
        let event = lock(&queue.waiting).pop_front();
        match event {
            Some(event) => break event,
            None => queue.arrived.notified().await,
        }
    };
    // One notice is stored for several events.
    if !lock(&queue.waiting).is_empty() {
        queue.arrived.notify_one();
    }
    let deadline = event.deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let trace: String = event.id.chars().filter(|c| *c != '-').collect();
    let mut response = Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-trace-id", format!("Root=1-{}-{};Sampled=0", &trace[..8], &trace[8..]))
        .header("lambda-runtime-aws-request-id", event.id)
        .header("lambda-runtime-deadline-ms", deadline.as_millis().to_string())
        .header("lambda-runtime-invoked-function-arn", crate::function::ARN)
        .body(Body::from(event.body))
        .unwrap_or_default();
    for (name, value) in event.headers {
        match value.and_then(|value| HeaderValue::from_bytes(&value).ok()) {
            Some(value) => response.headers_mut().insert(name, value),
            None => response.headers_mut().remove(name),
        };
    }
    response
}

async fn response(State(queue): State<Arc<InvocationQueue>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    let outcome = serde_json::from_slice(&body).map(Outcome::Response);
    queue.finish(&id, outcome.unwrap_or_else(|error| Outcome::Error(format!("not JSON: {error}").into())))
}

async fn error(State(queue): State<Arc<InvocationQueue>>, Path(id): Path<String>, body: Bytes) -> StatusCode {
    queue.finish(&id, Outcome::Error(json_or_text(&body)))
}

async fn register(State(queue): State<Arc<InvocationQueue>>) -> impl IntoResponse {
    queue.has_extension.store(true, Ordering::Relaxed);
    [("lambda-extension-identifier", crate::secrets::random_id())]
}

/// An extension without events waits for ever.
async fn next_extension_event() -> StatusCode {
    std::future::pending().await
}

fn json_or_text(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into())
}

impl InvocationQueue {
    /// Passes on the outcome; returns 400, as Lambda does, if it is not that of a running event.
    fn finish(&self, id: &str, outcome: Outcome) -> StatusCode {
        match lock(&self.running).remove(id) {
            Some(caller) => {
                // The caller may have given up waiting.
                drop(caller.send(outcome));
                StatusCode::ACCEPTED
            }
            None => StatusCode::BAD_REQUEST,
        }
    }
}
