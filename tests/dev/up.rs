//! `cargo dev up`: the function over HTTP.

use std::{sync::Arc, time::Instant};

use anyhow::{Context, Result};
use axum::{
    body::Bytes,
    http::{Method, Request},
};

use crate::{
    answer::shown,
    stack::{self, Input, Stack},
    steps::Steps,
    support::{client, gateway::Gateway, seed::DEMO_TOKEN},
};

const ROUTE: &str = "/functions/v1/list-chat-sessions";

/// The contract's own request.
const BODY: &str = r#"{"limit": 20, "status": "active"}"#;

#[derive(clap::Args)]
#[group(skip)]
pub struct Options {
    /// Serve on this port of 127.0.0.1
    #[arg(long, value_name = "N", default_value_t = 9000)]
    port: u16,
    #[command(flatten)]
    stack: stack::Options,
}

/// Serves until the process is told to end.
pub async fn up(options: Options) -> Result<()> {
    let begin = Instant::now();
    // Of a caller's own keys we know hashes only, and of their rows not whose they are.
    let token = options.stack.is_demo().then_some(DEMO_TOKEN);
    let input = Input::read(options.stack)?;
    let gateway = Gateway::bind(options.port).await?;
    let url = format!("{}{ROUTE}", gateway.url()?);

    let stack = Stack::start(input, Steps::Output).await?;
    let _serving = gateway.serve(Arc::clone(&stack.function));
    first_call(&url, token).await?;
    println!("{:6.2} s  in all\n", begin.elapsed().as_secs_f64());
    println!("ready {url}");
    println!("{}", curl(&url, token.unwrap_or("$TOKEN")));
    println!("Ctrl-C ends it.");
    std::future::pending().await
}

/// A line to paste into a shell, in which `$TOKEN` is the shell's to fill in.
fn curl(url: &str, token: &str) -> String {
    format!("curl -sS {url} -H \"Authorization: Bearer {token}\" -H 'Content-Type: application/json' -d '{BODY}'")
}

/// Makes a call and shows its answer: the contract's request with the demo's token, or a preflight without a token.
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
    println!("{}\n", shown(&String::from_utf8_lossy(response.body())));
    Ok(())
}
