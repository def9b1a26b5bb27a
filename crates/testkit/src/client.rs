//! A small HTTP client, and one that speaks HTTPS.

use std::{error::Error, time::Duration};

use anyhow::{Context, Result, anyhow};
use axum::{
    body::Bytes,
    http::{Request, Response, uri::Scheme},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector},
    },
    rt::TokioExecutor,
};
use tokio_rustls::rustls::crypto::aws_lc_rs;

/// Timeout of a response: slightly more than that of API Gateway.
const TIMEOUT: Duration = Duration::from_secs(31);

/// Limit of a response's body: several times Lambda's 6 MB.
const RESPONSE_MAX: usize = 32 * 1024 * 1024;

/// A client for `https://` and `http://` that keeps connections.
pub type HttpsClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Returns a client that trusts the system's certificate authorities, or those in the file that `SSL_CERT_FILE` names.
pub fn https() -> Result<HttpsClient> {
    let connector =
        HttpsConnectorBuilder::new().with_provider_and_native_roots(aws_lc_rs::default_provider()).context(
            "the system's certificate authorities cannot be read: install ca-certificates, or set SSL_CERT_FILE",
        )?;
    Ok(Client::builder(TokioExecutor::new()).build(connector.https_or_http().enable_http1().build()))
}

/// Sends a request to an `http://` or `https://` address and returns the whole response. Redirects are not followed.
pub async fn send(request: Request<Bytes>) -> Result<Response<Bytes>> {
    // A test needs no certificate authorities for loopback.
    if request.uri().scheme() == Some(&Scheme::HTTPS) {
        exchange(https()?, request).await
    } else {
        exchange(Client::builder(TokioExecutor::new()).build_http(), request).await
    }
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
