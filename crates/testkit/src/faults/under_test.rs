//! The function under test: its binary, a database with rows, and a Secrets Manager.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use serde_json::Value;

use super::{Harness, accounts};
use crate::{Database, Function, FunctionOptions, Outcome, Secrets, request};

pub const KEYS: &str = "test/api-keys";

/// Options that differ between faults.
pub struct Setup {
    /// Key ring in JSON; by default that of the first account.
    pub ring: Option<String>,
    /// Database URL for the function; by default the database's own.
    pub url: Option<String>,
    /// Variables in addition to the usual ones.
    pub variables: Vec<(&'static str, String)>,
    /// Prepared Secrets Manager; by default a new one.
    pub secrets: Option<Secrets>,
    /// Host name of Secrets Manager for the function; by default its address.
    pub secrets_host: Option<String>,
    /// A program that starts the binary, with the arguments before the binary's path.
    pub launcher: Vec<String>,
    pub timeout: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            ring: None,
            url: None,
            variables: Vec::new(),
            secrets: None,
            secrets_host: None,
            launcher: Vec::new(),
            timeout: Duration::from_secs(10),
        }
    }
}

pub struct FunctionUnderTest {
    pub function: Function,
    pub database: Database,
    pub secrets: Secrets,
    event: String,
    concurrency: usize,
}

/// The response to a caller, and its duration.
pub struct Reply {
    pub status: u16,
    pub retry_after: bool,
    pub after: Duration,
    body: String,
}

impl Reply {
    pub fn text(&self) -> String {
        self.body.chars().take(200).collect()
    }

    pub fn json(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.body)?)
    }
}

impl FunctionUnderTest {
    pub async fn start(harness: &Harness, database: Database, setup: Setup) -> Result<Self> {
        let secrets = match setup.secrets {
            Some(secrets) => secrets,
            None => Secrets::start().await?,
        };
        secrets.put(KEYS, setup.ring.map_or_else(|| accounts::ring(1..=1), Ok)?)?;
        let url = setup.url.unwrap_or_else(|| database.url().to_owned());
        let endpoint = setup.secrets_host.map_or_else(|| secrets.url().to_owned(), |host| secrets.url_at(&host));
        let env = [
            ("API_KEYS_SECRET_ID", KEYS),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint.as_str()),
            ("DATABASE_URL", url.as_str()),
        ];
        let mut options = FunctionOptions::new(&harness.binary, &env);
        if let [program, arguments @ ..] = setup.launcher.as_slice() {
            options.arguments = arguments.iter().map(PathBuf::from).chain([harness.binary.clone()]).collect();
            options.binary = program.into();
        }
        if harness.concurrency > 1 {
            options.env.push(("AWS_LAMBDA_MAX_CONCURRENCY".to_owned(), harness.concurrency.to_string()));
        }
        options.env.extend(setup.variables.into_iter().map(|(name, value)| (name.to_owned(), value)));
        (options.timeout, options.log_max) = (setup.timeout, 1_000);
        let function = Function::start(options).await?;
        Ok(Self { function, database, secrets, event: event(1), concurrency: harness.concurrency })
    }

    /// Requests a page, as often at once as the environment serves events; returns the worst reply.
    pub async fn request_page(&self) -> Result<Reply> {
        let replies = try_join_all((0..self.concurrency).map(|_| self.send(self.event.clone()))).await?;
        let after = replies.iter().map(|reply| reply.after).max().unwrap_or_default();
        let worst = replies.into_iter().max_by_key(|reply| if reply.status == 0 { u16::MAX } else { reply.status });
        Ok(Reply { after, ..worst.context("at least one event at a time")? })
    }

    /// Sends an event in JSON. Status 0 means that the process ended or timed out.
    pub async fn send(&self, event: String) -> Result<Reply> {
        let begin = Instant::now();
        let outcome = self.function.invoke(event).await?;
        let after = begin.elapsed();
        Ok(match outcome {
            Outcome::Response(response) => Reply {
                status: response["statusCode"].as_u64().context("no status")?.try_into()?,
                retry_after: response["headers"]["retry-after"].is_string(),
                after,
                body: response["body"].as_str().unwrap_or_default().to_owned(),
            },
            Outcome::Error(error) => Reply { status: 0, retry_after: false, after, body: error.to_string() },
        })
    }

    /// Returns the last cause in the log.
    pub fn cause(&self) -> String {
        let cause = |line: &String| serde_json::from_str::<Value>(line).ok()?["cause"].as_str().map(ToOwned::to_owned);
        self.function.log().iter().rev().find_map(cause).unwrap_or_default()
    }
}

pub fn event(account: u32) -> String {
    request::post(&accounts::token(account), r#"{"limit": 100}"#).to_string()
}
