//! A small HTTP client for loopback.

use std::time::Duration;

use anyhow::{Context, Result};
use axum::{
    body::Bytes,
    http::{Request, Response},
};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

/// Timeout of a response: slightly more than that of API Gateway.
const TIMEOUT: Duration = Duration::from_secs(31);

/// Sends a request to an `http://` address and returns the whole response.
pub async fn send(request: Request<Bytes>) -> Result<Response<Bytes>> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let exchange = async {
        let (parts, body) = client.request(request.map(Full::new)).await?.into_parts();
        anyhow::Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
    };
    tokio::time::timeout(TIMEOUT, exchange).await.context("no response in time")?
}
