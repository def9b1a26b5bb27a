//! The log lines of requests: one line each, which carries its metrics, and one line that counts unknown tokens.
//!
//! CloudWatch extracts the metrics from the line itself:
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::{
    mem::take,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use lambda_http::{Body, Context, Response};
use serde::Serialize;

use crate::{
    clock::FreezeProofInstant,
    error::Error,
    log::{self, Level},
};

const NAMESPACE: &str = "ListChatSessions";

/// A request's line. Fields in lower case are for readers; CloudWatch reads those in upper case, under these names.
#[derive(Serialize)]
pub(crate) struct RequestLog {
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
    metadata: EmfMetadata,
    #[serde(rename = "FunctionName")]
    function_name: String,
    #[serde(rename = "Outcome")]
    outcome: &'static str,
    #[serde(rename = "Count")]
    count: u32,
    /// Milliseconds, as are the next two.
    #[serde(rename = "Duration")]
    duration: f64,
    #[serde(rename = "AuthenticationDuration", skip_serializing_if = "Option::is_none")]
    authentication: Option<f64>,
    #[serde(rename = "DatabaseDuration", skip_serializing_if = "Option::is_none")]
    database: Option<f64>,
    #[serde(rename = "Retries")]
    retries: u32,
    #[serde(rename = "ColdStart")]
    cold_start: u32,
    #[serde(rename = "SecretStale")]
    secret_stale: u32,
    #[serde(skip)]
    started: Instant,
}

impl RequestLog {
    pub(crate) fn start(context: Option<&Context>, is_cold_start: bool) -> Self {
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
            metadata: EmfMetadata::new(timestamp),
            function_name: context.map(|context| context.env_config.function_name.clone()).unwrap_or_default(),
            outcome: "ok",
            count: 1,
            duration: 0.0,
            authentication: None,
            database: None,
            retries: 0,
            cold_start: is_cold_start.into(),
            secret_stale: 0,
            started: Instant::now(),
        }
    }

    pub(crate) fn request_id(&self) -> &str {
        &self.request_id
    }

    pub(crate) async fn measure_authentication<T>(&mut self, step: impl Future<Output = T>) -> T {
        measured(&mut self.authentication, step).await
    }

    /// Measures the time that the database takes, connecting included.
    pub(crate) async fn measure_database<T>(&mut self, step: impl Future<Output = T>) -> T {
        self.metadata.announce_database();
        measured(&mut self.database, step).await
    }

    pub(crate) fn set_rows(&mut self, rows: usize) {
        self.rows = Some(rows);
    }

    pub(crate) fn set_retries(&mut self, retries: u32) {
        self.retries = retries;
    }

    /// Completes the line with the outcome and writes it.
    pub(crate) fn write(&mut self, outcome: &Result<Response<Body>, Error>, has_stale_secret: bool) {
        self.duration = milliseconds(self.started.elapsed());
        self.secret_stale = has_stale_secret.into();
        if self.retries + self.secret_stale > 0 {
            self.level = Level::Warn;
        }
        if let Err(error) = outcome {
            self.level = self.level.max(error.level());
            self.outcome = error.code();
            self.status = error.status().as_u16();
            self.cause = error.cause().map(ToOwned::to_owned);
        }
        log::write(self);
    }
}

async fn measured<T>(duration: &mut Option<f64>, step: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let outcome = step.await;
    *duration = Some(milliseconds(started.elapsed()));
    outcome
}

/// Rounded to the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Tells CloudWatch which fields of the line are metrics, and their dimensions.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EmfMetadata {
    /// Milliseconds since 1970.
    timestamp: i64,
    cloud_watch_metrics: [MetricDirective; 2],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MetricDirective {
    namespace: &'static str,
    dimensions: [&'static [&'static str]; 1],
    metrics: &'static [Metric],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    name: &'static str,
    unit: &'static str,
}

/// The metrics of the function as a whole.
const METRICS: &[Metric] = &[
    Metric { name: "Duration", unit: "Milliseconds" },
    Metric { name: "Retries", unit: "Count" },
    Metric { name: "ColdStart", unit: "Count" },
    Metric { name: "SecretStale", unit: "Count" },
    // Last, because a line without this field must not announce it.
    Metric { name: "DatabaseDuration", unit: "Milliseconds" },
];

/// Split by outcome. CloudWatch charges for each metric and outcome; the alarms and the dashboard need only this one.
const METRICS_BY_OUTCOME: &[Metric] = &[Metric { name: "Count", unit: "Count" }];

impl EmfMetadata {
    fn new(timestamp: Timestamp) -> Self {
        let by_function = METRICS.split_last().map_or(METRICS, |(_database, others)| others);
        let directive =
            |dimensions, metrics| MetricDirective { namespace: NAMESPACE, dimensions: [dimensions], metrics };
        Self {
            timestamp: timestamp.as_millisecond(),
            cloud_watch_metrics: [
                directive(&["FunctionName"], by_function),
                directive(&["FunctionName", "Outcome"], METRICS_BY_OUTCOME),
            ],
        }
    }

    fn announce_database(&mut self) {
        self.cloud_watch_metrics[0].metrics = METRICS;
    }
}

/// Counts the tokens that the key ring rejected (unknown, revoked or expired), for one line instead of one each.
#[derive(Debug, Default)]
pub struct UnknownTokens(Mutex<Option<UnknownTokenCount>>);

#[derive(Debug)]
struct UnknownTokenCount {
    since: Timestamp,
    started: FreezeProofInstant,
    count: u64,
}

#[derive(Serialize)]
struct UnknownTokensLine {
    timestamp: Timestamp,
    level: Level,
    message: &'static str,
    unknown_tokens: u64,
    since: Timestamp,
}

impl UnknownTokens {
    pub(crate) fn count(&self) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || UnknownTokenCount { since: Timestamp::now(), started: FreezeProofInstant::now(), count: 0 };
        current.get_or_insert_with(new).count += 1;
    }

    /// Writes the line if the first of the counted tokens came at least `interval` ago. Every request calls this:
    /// nothing runs in an environment without requests, so the next request writes the last count.
    pub(crate) fn write_if_due(&self, interval: Duration) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| current.started.elapsed() >= interval)
            && let Some(UnknownTokenCount { since, count, .. }) = take(&mut *current)
        {
            let (timestamp, level) = (Timestamp::now(), Level::Info);
            log::write(&UnknownTokensLine {
                timestamp,
                level,
                message: "unknown tokens",
                unknown_tokens: count,
                since,
            });
        }
    }
}
