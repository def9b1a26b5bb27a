//! A small HTTP client for loopback, and one that speaks HTTPS.

use std::time::Duration;

use anyhow::{Context, Result};
use axum::{
    body::Bytes,
    http::{Request, Response},
};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio_rustls::rustls::crypto::aws_lc_rs;

/// Timeout of a response: slightly more than that of API Gateway.
const TIMEOUT: Duration = Duration::from_secs(31);

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

/// Sends a request to an `http://` address and returns the whole response.
pub async fn send(request: Request<Bytes>) -> Result<Response<Bytes>> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let exchange = async {
        let (parts, body) = client.request(request.map(Full::new)).await?.into_parts();
        anyhow::Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
    };
    tokio::time::timeout(TIMEOUT, exchange).await.context("no response in time")?
}
