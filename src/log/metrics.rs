//! What makes a line of the log metrics as well: CloudWatch reads them out of it.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::time::Duration;

use serde::{Serialize, Serializer};

/// Where the metrics are in CloudWatch.
const NAMESPACE: &str = "ListChatSessions";

/// Written to the microsecond.
pub struct Milliseconds(pub Duration);

impl Serialize for Milliseconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((self.0.as_secs_f64() * 1e6).round() / 1e3)
    }
}

/// Tells CloudWatch which of the line's fields are metrics, and by which of them to divide those.
pub struct Directive {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Whether the line has `DatabaseDuration`.
    pub has_database: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata<'a> {
    timestamp: i64,
    cloud_watch_metrics: [MetricDirective<'a>; 2],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MetricDirective<'a> {
    namespace: &'a str,
    dimensions: [&'a [&'a str]; 1],
    metrics: &'a [Metric],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    name: &'static str,
    unit: &'static str,
}

/// Of the function as a whole.
const METRICS: [Metric; 5] = [
    Metric { name: "Duration", unit: "Milliseconds" },
    Metric { name: "Retries", unit: "Count" },
    Metric { name: "ColdStart", unit: "Count" },
    Metric { name: "SecretStale", unit: "Count" },
    // Last, because a line without it must not announce it.
    Metric { name: "DatabaseDuration", unit: "Milliseconds" },
];

/// By outcome. CloudWatch charges for each metric and outcome, and alarms and dashboard read only this one by outcome.
const METRICS_BY_OUTCOME: [Metric; 1] = [Metric { name: "Count", unit: "Count" }];

impl Serialize for Directive {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let metrics = if self.has_database { &METRICS[..] } else { &METRICS[..METRICS.len() - 1] };
        let cloud_watch_metrics = [
            MetricDirective { namespace: NAMESPACE, dimensions: [&["FunctionName"]], metrics },
            MetricDirective {
                namespace: NAMESPACE,
                dimensions: [&["FunctionName", "Outcome"]],
                metrics: &METRICS_BY_OUTCOME,
            },
        ];
        Metadata { timestamp: self.timestamp, cloud_watch_metrics }.serialize(serializer)
    }
}
