//! API Gateway's HTTP integration: passes a request to another host and its response back.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-http.html>

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header, request::Parts},
};
use http_body_util::{BodyExt, Full, Limited};

use super::{BODY_MAX, FUNCTIONS, is_own_path};
use crate::client::{self, HttpsClient};

/// API Gateway's time-out of an integration:
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html>.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The headers of one connection, which no proxy passes on:
/// <https://www.rfc-editor.org/rfc/rfc9110.html#section-7.6.1>. So a `WebSocket` cannot be opened.
const CONNECTION_HEADERS: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The host that other functions are passed to: `UpstreamUrl` in `template.yaml`.
pub struct Upstream {
    url: String,
    timeout: Duration,
    serves_all: Arc<AtomicBool>,
    client: HttpsClient,
}

impl Upstream {
    pub fn new(url: &str) -> Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
        ensure!(
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty()),
            "{url} must begin with https:// or http:// and a host name"
        );
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            bail!("the URL must not contain a user or a password");
        }
        ensure!(uri.query().is_none(), "{url} must not have a query");
        // A URL without a path has the path "/".
        ensure!(!url.ends_with('/'), "{url} must not end with a slash: each request's path follows it");
        ensure!(
            !url.ends_with(FUNCTIONS.trim_end_matches('/')),
            "{url} must not end with {}: each request's whole path follows it",
            FUNCTIONS.trim_end_matches('/')
        );
        Ok(Self { url: url.to_owned(), timeout: TIMEOUT, serves_all: Arc::default(), client: client::https()? })
    }

    /// Replaces API Gateway's time-out of 30 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns whether the upstream serves this function too: `UpstreamServes` in `template.yaml`. It may change while
    /// the gateway serves.
    pub fn serves_all(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.serves_all)
    }

    pub(super) fn serves(&self, path: &str) -> bool {
        path.strip_prefix(FUNCTIONS).is_some_and(|name| !name.is_empty())
            && (self.serves_all.load(Ordering::Relaxed) || !is_own_path(path))
    }

    /// Passes a request on and returns the whole response. Fails if the upstream is unavailable or slow, or if its body
    /// is larger than API Gateway's limit.
    pub(super) async fn pass(&self, parts: &Parts, body: Bytes, from: IpAddr) -> Result<Response<Body>> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = format!("{}{path}", self.url).parse()?;
        *request.headers_mut() = forwarded(parts.headers.clone(), from)?;
        let exchange = async {
            let (mut parts, body) = self.client.request(request).await?.into_parts();
            let body = Limited::new(body, BODY_MAX).collect().await.map_err(anyhow::Error::from_boxed)?;
            remove_connection_headers(&mut parts.headers);
            anyhow::Ok(Response::from_parts(parts, Body::from(body.to_bytes())))
        };
        let response = tokio::time::timeout(self.timeout, exchange).await;
        response.with_context(|| format!("no response within {:?}", self.timeout))?
    }
}

/// Returns a caller's headers as the upstream gets them. Without `Host`, for which the client inserts the upstream's;
/// `X-Forwarded-*` becomes `Forwarded`, as an HTTP API does it:
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html>.
fn forwarded(mut headers: HeaderMap, from: IpAddr) -> Result<HeaderMap> {
    let mut elements: Vec<String> = Vec::new();
    for value in headers.get_all("x-forwarded-for") {
        elements.extend(value.to_str()?.split(',').map(|caller| format!("for={}", caller.trim())));
    }
    let host = headers.remove(header::HOST);
    let host = host.as_ref().map_or(Ok(""), HeaderValue::to_str)?;
    elements.push(format!("by=127.0.0.1;for={from};host={host};proto=http"));
    for name in ["x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"] {
        headers.remove(name);
    }
    remove_connection_headers(&mut headers);
    headers.append(header::FORWARDED, elements.join(", ").parse()?);
    Ok(headers)
}

fn remove_connection_headers(headers: &mut HeaderMap) {
    // `Connection` names more of them.
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|names| names.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in CONNECTION_HEADERS.into_iter().chain(named) {
        headers.remove(name);
    }
}
