//! The log's lines in CloudWatch's embedded metric format, parsed as CloudWatch parses them.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use serde_json::{Value, json};
use testkit::{
    SecretsFault, TOKEN,
    environment::{database, lines, secrets_with, start, status},
    request, ring,
};

/// A metric's values by its name, from a line that CloudWatch accepts.
fn metrics(line: &Value) -> Vec<(String, f64)> {
    let directive = &line["_aws"];
    let at = directive["Timestamp"].as_i64().unwrap();
    let written = line["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(at, written.as_millisecond(), "{line}");
    let directives = directive["CloudWatchMetrics"].as_array().unwrap();
    directives.iter().flat_map(|directive| announced(line, directive)).collect()
}

/// The metrics of one directive; those with the dimension `Outcome` are named `Count by Outcome`.
fn announced(line: &Value, directive: &Value) -> Vec<(String, f64)> {
    assert_eq!(directive["Namespace"], "ListChatSessions");
    let dimension_sets = directive["Dimensions"].as_array().unwrap();
    for name in dimension_sets.iter().flat_map(|set| set.as_array().unwrap()) {
        let value = line[name.as_str().unwrap()].as_str().unwrap_or_default();
        assert!((1..=1024).contains(&value.len()), "dimension {name} of {line}");
    }
    let by = if dimension_sets == &[json!(["FunctionName"])] { "" } else { " by Outcome" };
    let metrics = directive["Metrics"].as_array().unwrap();
    assert!(metrics.len() <= 100);
    let metrics = metrics.iter().map(|metric| {
        assert!(["Count", "Milliseconds"].contains(&metric["Unit"].as_str().unwrap()), "{metric}");
        let name = metric["Name"].as_str().unwrap();
        let value = line[name].as_f64().unwrap_or_else(|| panic!("{name} has no number in {line}"));
        (format!("{name}{by}"), value)
    });
    metrics.collect()
}

fn value(line: &Value, name: &str) -> Option<f64> {
    metrics(line).into_iter().find(|(metric, _)| metric == name).map(|(_, value)| value)
}

#[tokio::test]
async fn a_line_announces_the_metrics_that_it_has() {
    let secrets = secrets_with(ring(&[TOKEN])).await;
    let database = database().await;
    let function = start(&secrets, &[("DATABASE_URL", database.url())]).await.unwrap();
    for (event, expected) in [(request::post(TOKEN, "{}"), 200), (request::request("GET", &[], b""), 405)] {
        assert_eq!(status(&function, &event).await, expected);
    }
    let lines = lines(&function);
    let names = |line| metrics(line).into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ");
    assert_eq!(names(&lines[0]), "Duration Retries ColdStart SecretStale DatabaseDuration Count by Outcome");
    assert_eq!(names(&lines[1]), "Duration Retries ColdStart SecretStale Count by Outcome");
    assert_eq!(value(&lines[0], "ColdStart"), Some(1.0));
    assert_eq!(value(&lines[1], "ColdStart"), Some(0.0));
    assert_eq!((&lines[0]["Outcome"], &lines[1]["Outcome"]), (&json!("ok"), &json!("method_not_allowed")));
    assert_eq!(lines[0]["FunctionName"], "list-chat-sessions");
    assert!(lines[0]["trace_id"].as_str().unwrap().starts_with("Root=1-"));
}

#[tokio::test]
async fn a_request_that_uses_a_stale_secret_is_logged_as_a_warning_with_its_cause() {
    let database = database().await;
    for (fault, code) in
        [(SecretsFault::AccessDenied, "AccessDeniedException"), (SecretsFault::Throttled, "ThrottlingException")]
    {
        let secrets = secrets_with(ring(&[TOKEN])).await;
        let variables = [("DATABASE_URL", database.url()), ("SECRET_MAX_AGE_SECONDS", "1")];
        let function = start(&secrets, &variables).await.unwrap();
        secrets.fail_secret("keys", fault);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(status(&function, &request::post(TOKEN, "{}")).await, 200);
        let lines = lines(&function);
        assert_eq!((&lines[0]["level"], &lines[0]["message"]), (&json!("WARN"), &json!("secret not fetched")));
        let cause = format!("service_unavailable: secret keys: Secrets Manager returned {code}");
        assert_eq!(lines[0]["cause"], cause);
        assert_eq!((&lines[1]["level"], &lines[1]["Outcome"]), (&json!("WARN"), &json!("ok")));
        assert_eq!(value(&lines[1], "SecretStale"), Some(1.0));
    }
}
