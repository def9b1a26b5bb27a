//! A request's line.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use lambda_http::{Body, Context, Response};
use serde::Serialize;

use super::{
    Level,
    metrics::{Directive, Milliseconds},
    write,
};
use crate::{app::App, error::Error, sessions::Page};

/// Fields in lower case are for readers, those in upper case for CloudWatch, under the names they have there.
#[derive(Serialize)]
pub struct Record {
    timestamp: Timestamp,
    level: Level,
    message: &'static str,
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    #[serde(rename = "_aws")]
    directive: Directive,
    #[serde(rename = "FunctionName")]
    function_name: String,
    #[serde(rename = "Outcome")]
    outcome: &'static str,
    #[serde(rename = "Count")]
    count: u32,
    #[serde(rename = "Duration")]
    duration: Milliseconds,
    #[serde(rename = "AuthenticationDuration", skip_serializing_if = "Option::is_none")]
    authentication: Option<Milliseconds>,
    #[serde(rename = "DatabaseDuration", skip_serializing_if = "Option::is_none")]
    database: Option<Milliseconds>,
    #[serde(rename = "Retries")]
    retries: u32,
    #[serde(rename = "ColdStart")]
    cold_start: u32,
    #[serde(rename = "SecretStale")]
    secret_stale: u32,
    #[serde(skip)]
    started: Instant,
    #[serde(skip)]
    resent_before: u32,
}

impl Record {
    /// Starts the clock.
    #[must_use]
    pub fn start(app: &App, context: Option<&Context>) -> Self {
        let timestamp = Timestamp::now();
        Self {
            timestamp,
            level: Level::Info,
            message: "request",
            request_id: context.map(|context| context.request_id.clone()).unwrap_or_default(),
            trace_id: context.and_then(|context| context.xray_trace_id.clone()),
            status: 200,
            rows: None,
            cause: None,
            directive: Directive { timestamp: timestamp.as_millisecond(), has_database: false },
            function_name: context.map(|context| context.env_config.function_name.clone()).unwrap_or_default(),
            outcome: "ok",
            count: 1,
            duration: Milliseconds(Duration::ZERO),
            authentication: None,
            database: None,
            retries: 0,
            cold_start: app.is_cold_start().into(),
            secret_stale: 0,
            started: Instant::now(),
            resent_before: app.database.resent(),
        }
    }

    /// The invocation's id.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Measures authentication.
    pub async fn authentication<T>(&mut self, step: impl Future<Output = T>) -> T {
        measured(&mut self.authentication, step).await
    }

    /// Measures what the database takes, connecting included.
    pub async fn database<T>(&mut self, step: impl Future<Output = T>) -> T {
        self.directive.has_database = true;
        measured(&mut self.database, step).await
    }

    /// Notes how many sessions the caller gets.
    pub fn page(&mut self, page: &Page) {
        self.rows = Some(page.len());
    }

    /// Notes the outcome and writes the line.
    pub fn finish(&mut self, app: &App, outcome: &Result<Response<Body>, Error>) {
        self.duration = Milliseconds(self.started.elapsed());
        self.retries = app.database.resent().wrapping_sub(self.resent_before);
        self.secret_stale = app.has_stale_secret().into();
        if self.retries + self.secret_stale > 0 {
            self.level = Level::Warn;
        }
        if let Err(error) = outcome {
            self.level = self.level.max(error.level());
            self.outcome = error.code();
            self.status = error.status().as_u16();
            self.cause = error.cause().map(ToOwned::to_owned);
        }
        write(self);
    }
}

async fn measured<T>(duration: &mut Option<Milliseconds>, step: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let outcome = step.await;
    *duration = Some(Milliseconds(started.elapsed()));
    outcome
}
