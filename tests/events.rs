//! Every file in `events/` gets the status that its name promises, through the binary under a Lambda Runtime API.

use serde_json::Value;

use crate::{
    app::binary,
    support::{
        faults::{Lab, events},
        postgres::Server,
    },
};

const BROKEN: u64 = 1_000;
const SEED: u64 = 4;

#[tokio::test]
async fn every_event_gets_the_status_that_its_name_promises() {
    let subject = events::demo(&Lab::quiet(binary()), Server::shared()).await.unwrap();
    let events = events::files().unwrap();
    assert!(events.len() >= 20, "events/ is not where it should be");
    for (name, event) in events {
        let outcome = subject.function.invoke(event).await.unwrap();
        assert_promise_is_kept(&name, &outcome.response().unwrap_or_else(|error| panic!("{name}: {error}")));
    }
}

#[tokio::test]
async fn no_broken_event_costs_more_than_itself() {
    let tally = events::run(&Lab::quiet(binary()), BROKEN, SEED).await.unwrap();
    assert_eq!((tally.tried, tally.lost), (BROKEN, 0), "{tally}");
}

/// Checks the answer to a file's event, over the demo account.
pub fn assert_promise_is_kept(name: &str, answer: &Value) {
    let promised: u64 = name[..3].parse().unwrap_or_else(|_| panic!("{name} does not begin with a status"));
    assert_eq!(answer["statusCode"], promised, "{name}: {answer}");
    let body = answer["body"].as_str().unwrap();
    if body.starts_with('{') {
        assert_eq!(events::published(answer, body), None, "{name}");
    }
    if name == "200-documented-request.json" {
        let page: Value = serde_json::from_str(body).unwrap();
        assert_eq!(page["total"], 24);
        assert_eq!(page["sessions"][0], documented_session());
    }
}

/// The session of the contract's example.
fn documented_session() -> Value {
    let contract = include_str!("../docs/contract.md");
    let (_, example) = contract.split_once("```json").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    serde_json::from_str::<Value>(example).unwrap()["sessions"][0].clone()
}
