//! API Gateway's HTTP API in front of the function, on a port of this machine. [`event`] maps a request to an event
//! (payload format 2.0), and [`to_http_response`] maps the function's response to HTTP. With an [`Upstream`], other
//! functions are passed to another host.

mod mapping;
mod upstream;

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

pub use mapping::{Arrival, event, to_http_response};
pub use upstream::Upstream;

use crate::{Function, Outcome, request::PATH};

/// The path of the functions that an upstream may serve.
const FUNCTIONS: &str = "/functions/v1/";

/// API Gateway's limit for the body of a request, and of an upstream's response.
const BODY_MAX: usize = 10 * 1024 * 1024;

/// A bound port on which nothing is served yet.
pub struct Gateway {
    listener: TcpListener,
    upstream: Option<Upstream>,
}

struct Targets {
    function: Arc<Function>,
    upstream: Option<Upstream>,
}

impl Gateway {
    /// Binds the port on 127.0.0.1; 0 for any free port.
    pub async fn bind(port: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        let listener = listener.map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                anyhow!("port {port} is busy: choose another with --port")
            }
            _ => anyhow!("port {port} cannot be used ({error}): choose another with --port"),
        })?;
        Ok(Self { listener, upstream: None })
    }

    /// Passes other functions to this host, instead of responding with 404.
    #[must_use]
    pub fn with_upstream(mut self, upstream: impl Into<Option<Upstream>>) -> Self {
        self.upstream = upstream.into();
        self
    }

    /// `http://127.0.0.1:<port>`
    pub fn url(&self) -> Result<String> {
        Ok(format!("http://{}", self.listener.local_addr()?))
    }

    /// Serves the function's route with the function, and others as API Gateway does, until the returned set is
    /// dropped.
    pub fn serve(self, function: Arc<Function>) -> JoinSet<()> {
        let targets = Arc::new(Targets { function, upstream: self.upstream });
        let router = Router::new().fallback(forward).with_state(targets);
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        JoinSet::from_iter([async move { drop(axum::serve(self.listener, service).await) }])
    }
}

/// Returns whether a path is the function's route or below it, as on Supabase. All methods are routed, so that the
/// function itself returns 405; without an upstream, the routes of API Gateway are narrower (template.yaml).
fn is_own_path(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

async fn forward(
    State(targets): State<Arc<Targets>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response<Body> {
    let Targets { function, upstream } = &*targets;
    let (parts, body) = request.into_parts();
    let (method, path) = (&parts.method, parts.uri.path());
    let report = |level: &str, status: StatusCode, text: &str, cause: &str| {
        function.report(&json!({
            "timestamp": jiff::Timestamp::now(), "level": level,
            "message": text, "cause": Some(cause).filter(|cause| !cause.is_empty()),
            "method": method.as_str(), "path": path, "status": status.as_u16(),
        }));
    };
    let reject = |status, text: &str, cause: &str| {
        report(if cause.is_empty() { "WARN" } else { "ERROR" }, status, text, cause);
        message(status, text)
    };
    let upstream = upstream.as_ref().filter(|upstream| upstream.serves(path));
    if upstream.is_none() && !is_own_path(path) {
        return reject(StatusCode::NOT_FOUND, "Not Found", "");
    }
    let body = match Limited::new(body, BODY_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return reject(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large", "");
        }
        Err(_) => return reject(StatusCode::BAD_REQUEST, "Bad Request", ""),
    };
    if let Some(upstream) = upstream {
        return match upstream.pass(&parts, body, from.ip()).await {
            Ok(response) => {
                report("INFO", response.status(), "upstream", "");
                response
            }
            Err(error) => reject(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", &format!("{error:#}")),
        };
    }
    let event = event(&parts, &body, &Arrival::now(from.ip()));
    // In a separate task, because a caller that disconnects does not stop the function.
    let running = Arc::clone(function);
    let outcome = tokio::spawn(async move { running.invoke(event.to_string()).await }).await;
    let failure = match outcome.unwrap_or_else(|error| Err(error.into())) {
        Ok(Outcome::Response(response)) => match to_http_response(&response) {
            Ok(response) => return response,
            Err(error) => format!("the function's response is invalid: {error:#}"),
        },
        Ok(Outcome::Error(error)) => format!("the function failed: {error}"),
        Err(error) => format!("{error:#}"),
    };
    reject(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error", &failure)
}

fn message(status: StatusCode, text: &str) -> Response<Body> {
    let body = json!({ "message": text }).to_string();
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Body::from(body)).unwrap_or_default()
}
