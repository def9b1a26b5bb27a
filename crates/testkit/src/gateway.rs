//! API Gateway's HTTP API in front of the function, on a port of this machine. `event` and `answer` hold its two
//! mappings: a request to an event (payload format 2.0), and what the function answers to a response.

mod mapping;

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Result, anyhow};
use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{Response, StatusCode},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

pub use mapping::{Arrival, answer, event};

use crate::{Function, Outcome, request::PATH};

/// API Gateway's limit for a request's body, in bytes.
const BODY_MAX: usize = 10 * 1024 * 1024;

/// A port that is taken, on which nothing is served yet.
pub struct Gateway {
    listener: TcpListener,
}

impl Gateway {
    /// Takes the port on 127.0.0.1; 0 for any that is free.
    /// Fails when the port is busy, with what to do.
    pub async fn bind(port: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        let listener = listener.map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                anyhow!("port {port} is busy: choose another with --port")
            }
            _ => anyhow!("port {port} cannot be used ({error}): choose another with --port"),
        })?;
        Ok(Self { listener })
    }

    /// `http://127.0.0.1:<port>`
    pub fn url(&self) -> Result<String> {
        Ok(format!("http://{}", self.listener.local_addr()?))
    }

    /// Answers every request for the function's route with the function, and all others as API Gateway does,
    /// until what this returns is dropped.
    pub fn serve(self, function: Arc<Function>) -> JoinSet<()> {
        let router = Router::new().fallback(forward).with_state(function);
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        JoinSet::from_iter([async move { drop(axum::serve(self.listener, service).await) }])
    }
}

/// Whether a path is the function's: its route, and what lies below it, which Supabase sends to a function as well. All
/// methods are, so that it is the function that answers 405; API Gateway's own routes are narrower (template.yaml).
fn is_routed(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

async fn forward(
    State(function): State<Arc<Function>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let (method, path) = (&parts.method, parts.uri.path());
    let refuse = |status, text: &str, cause: &str| {
        function.report(&json!({
            "timestamp": jiff::Timestamp::now(), "level": if cause.is_empty() { "WARN" } else { "ERROR" },
            "message": text, "cause": Some(cause).filter(|cause| !cause.is_empty()),
            "method": method.as_str(), "path": path, "status": StatusCode::as_u16(&status),
        }));
        message(status, text)
    };
    if !is_routed(path) {
        return refuse(StatusCode::NOT_FOUND, "Not Found", "");
    }
    let body = match Limited::new(body, BODY_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large", "");
        }
        Err(_) => return refuse(StatusCode::BAD_REQUEST, "Bad Request", ""),
    };
    let event = event(&parts, &body, &Arrival::now(from.ip()));
    // In a task of its own, because a caller who hangs up does not stop the function.
    let running = Arc::clone(&function);
    let outcome = tokio::spawn(async move { running.invoke(event.to_string()).await }).await;
    let failure = match outcome.unwrap_or_else(|error| Err(error.into())) {
        Ok(Outcome::Response(response)) => match answer(&response) {
            Ok(response) => return response,
            Err(error) => format!("the function's answer is no response: {error:#}"),
        },
        Ok(Outcome::Error(error)) => format!("the function failed: {error}"),
        Err(error) => format!("{error:#}"),
    };
    refuse(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error", &failure)
}

/// An answer of the gateway itself.
fn message(status: StatusCode, text: &str) -> Response<Body> {
    let body = json!({ "message": text }).to_string();
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Body::from(body)).unwrap_or_default()
}
