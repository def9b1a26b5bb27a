//! A small HTTP client.

use std::{error::Error, time::Duration};

use anyhow::{Context, Result, anyhow};
use axum::{
    body::Bytes,
    http::{Request, Response, uri::Scheme},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::{Client, connect::Connect},
    rt::TokioExecutor,
};
use tokio_rustls::rustls::crypto::aws_lc_rs;

/// Timeout of a response: slightly more than that of API Gateway.
pub const TIMEOUT: Duration = Duration::from_secs(31);

/// Limit of a response's body: several times Lambda's 6 MB.
pub const RESPONSE_MAX: usize = 32 * 1024 * 1024;

/// Sends a request to an `http://` or `https://` address and returns the whole response. The system's certificates, or
/// those of `SSL_CERT_FILE`, verify a server. Redirects are not followed.
pub async fn send(request: Request<Bytes>) -> Result<Response<Bytes>> {
    let builder = Client::builder(TokioExecutor::new());
    if request.uri().scheme() != Some(&Scheme::HTTPS) {
        return exchange(builder.build_http(), request).await;
    }
    let tls = HttpsConnectorBuilder::new().with_provider_and_native_roots(aws_lc_rs::default_provider());
    let tls = tls.context("the system has no certificates to verify a server with; set SSL_CERT_FILE")?;
    exchange(builder.build(tls.https_only().enable_http1().build()), request).await
}

async fn exchange(
    client: Client<impl Connect + Clone + Send + Sync + 'static, Full<Bytes>>,
    request: Request<Bytes>,
) -> Result<Response<Bytes>> {
    let exchange = async {
        let (parts, body) = client.request(request.map(Full::new)).await.map_err(|error| explain(&error))?.into_parts();
        let body = Limited::new(body, RESPONSE_MAX).collect().await.map_err(|error| explain(&*error))?;
        anyhow::Ok(Response::from_parts(parts, body.to_bytes()))
    };
    tokio::time::timeout(TIMEOUT, exchange).await.with_context(|| format!("no response in {TIMEOUT:?}"))?
}

/// Keeps the causes of an error, of which the first says only "client error".
fn explain(error: &dyn Error) -> anyhow::Error {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    anyhow!(text)
}
