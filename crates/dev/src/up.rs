//! `cargo dev up`: serves the function over HTTP.

use std::{sync::Arc, time::Instant};

use anyhow::{Context, Result};
use axum::{
    body::Bytes,
    http::{Method, Request},
};
use testkit::{Gateway, Upstream, client, request::PATH, seed::DEMO_TOKEN, terminal::out};

use crate::{
    local::{self, Input, LocalFunction},
    pretty_json::shown,
    steps::Steps,
};

/// The request of the contract's example.
const BODY: &str = r#"{"limit": 20, "status": "active"}"#;

#[derive(clap::Args)]
#[group(skip)]
pub struct UpOptions {
    /// Serve on this port of 127.0.0.1; 0 for any free port
    #[arg(long, value_name = "N", default_value_t = 9000)]
    port: u16,
    /// Pass other functions to this host: its URL is followed by the request's whole path
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    #[command(flatten)]
    local: local::ServiceOptions,
    #[command(flatten)]
    run: local::RunOptions,
}

/// Serves until the process is stopped.
pub async fn up(options: UpOptions) -> Result<()> {
    let begin = Instant::now();
    // A key ring has only hashes, and custom rows can belong to any account.
    let token = options.local.is_demo().then_some(DEMO_TOKEN);
    let input = Input::read(options.local)?;
    let upstream = options.upstream.as_deref().map(Upstream::new).transpose().context("--upstream")?;
    let others = upstream.as_ref().map(|upstream| upstream.url().to_owned());
    let gateway = Gateway::bind(options.port).await?.with_upstream(upstream);
    let url = format!("{}{PATH}", gateway.url()?);

    let local = LocalFunction::start(input, options.run, Steps::Output).await?;
    let _serving = gateway.serve(Arc::clone(&local.function));
    first_call(&url, token).await?;
    out(format_args!("{:6.2} s  total\n", begin.elapsed().as_secs_f64()));
    out(format_args!("ready {url}"));
    if let Some(others) = others {
        out(format_args!("other functions are passed to {others}"));
    }
    out(curl(&url, token.unwrap_or("$TOKEN")));
    if let Some(psql) = local.services.psql() {
        out(format_args!("\n{psql}"));
    }
    out("\nCtrl-C stops and removes everything.");
    std::future::pending().await
}

/// Returns a line to paste into a shell, which replaces `$TOKEN`.
fn curl(url: &str, token: &str) -> String {
    format!("curl -sS {url} -H \"Authorization: Bearer {token}\" -d '{BODY}'")
}

/// Makes a call and shows its response: the contract's request with the demo token, or a preflight without a token.
async fn first_call(url: &str, token: Option<&str>) -> Result<()> {
    let begin = Instant::now();
    let request = Request::builder().uri(url).header("content-type", "application/json");
    let request = match token {
        Some(token) => {
            request.method(Method::POST).header("authorization", format!("Bearer {token}")).body(BODY.into())
        }
        None => request.method(Method::OPTIONS).body(Bytes::new()),
    };
    let response = client::send(request?).await.context("the first call failed")?;
    let what =
        if token.is_some() { format!("POST {BODY}") } else { "OPTIONS, for which no token is needed".to_owned() };
    Steps::Output.done(begin, "first call", &format!("{what}: {}\n", response.status()));
    out(format_args!("{}\n", shown(&String::from_utf8_lossy(response.body()))));
    Ok(())
}
