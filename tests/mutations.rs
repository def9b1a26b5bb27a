//! Events with faults in them, through the binary under a Lambda Runtime API: none of them may cost more than itself.

use std::env;

use serde_json::Value;

use crate::{
    events::{assert_is_published, demo_function},
    support::mutations,
};

/// How many, if `MUTATIONS` does not say.
const COUNT: usize = 1_000;

#[tokio::test]
async fn no_broken_event_costs_more_than_itself() {
    let count = env::var_os("MUTATIONS").map_or(COUNT, |count| count.to_str().unwrap().parse().unwrap());
    let (function, _secrets) = demo_function().await;
    let report =
        mutations::run(&function, count, 4, assert_is_an_answer).await.unwrap_or_else(|error| panic!("{error:?}"));
    println!("{count} events: {report:?}");
    for status in [200, 400, 401, 405, 413] {
        assert!(count < COUNT || report.statuses.contains_key(&status), "no event came to {status}: {report:?}");
    }
    assert!(!function.log().iter().any(|line| line.contains("panic")), "{}", function.log().join("\n"));
}

/// Asserts that an answer is one of those that openapi.yaml publishes, or the short text of a preflight or a warm-up.
fn assert_is_an_answer(event: &str, answer: &Value) {
    let body = answer["body"].as_str().unwrap_or_else(|| panic!("{event}: {answer}"));
    if !["ok", "warm"].contains(&body) {
        assert_is_published(answer, body);
    }
}
