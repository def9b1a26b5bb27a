//! Malformed events: those of `events/` with random faults, the same for the same seed. All are JSON, because the
//! Invoke API rejects anything else.

mod broken;
mod odd;

use std::{collections::BTreeMap, fs, time::Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{FaultReport, FunctionUnderTest, Harness, Setup, rate};
use crate::{Database, Outcome, Server, keys, openapi, seed};

/// Malformed events between two valid ones.
const BATCH: u64 = 50;

/// Events after which every status must have occurred.
const ENOUGH: u64 = 1_000;

/// Statuses that an event can get through its own faults.
const STATUSES: [u64; 5] = [200, 400, 401, 405, 413];

pub fn files() -> Result<BTreeMap<String, String>> {
    let mut events = BTreeMap::new();
    for file in fs::read_dir(crate::repository().join("events"))? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        events.insert(name, fs::read_to_string(&path)?);
    }
    Ok(events)
}

/// Starts the function with the demo account, whose token is in the files.
pub async fn demo(harness: &Harness, server: &Server) -> Result<FunctionUnderTest> {
    let database = Database::create(server).await?;
    database.load(seed::DEMO_SQL).await?;
    let ring = keys::json(&seed::demo_ring())?;
    FunctionUnderTest::start(harness, database, Setup { ring: Some(ring), ..Setup::default() }).await
}

/// Sends malformed events, with a valid one after every batch. Counts as lost: a response that openapi.yaml does not
/// describe or that does not fit the event, a panic, the end of the process, or a failure of the valid event.
pub async fn run(harness: &Harness, count: u64, seed: u64) -> Result<FaultReport> {
    let server = Server::start()?;
    let tested = demo(harness, &server).await?;
    let events = files()?;
    let good = events.get("200-documented-request.json").context("the documented request")?;
    let all: Vec<Value> = events.values().map(|event| serde_json::from_str(event)).collect::<Result<_, _>>()?;
    let mut random = fastrand::Rng::with_seed(seed);
    let process = tested.function.pid();
    let (begin, mut bytes, mut statuses) = (Instant::now(), 0, BTreeMap::<u64, u64>::new());
    let mut report = FaultReport::new("malformed events");
    for number in 1..=count {
        let event = broken::event(&all, &mut random);
        bytes += event.len();
        let status = status(tested.function.invoke(event).await?);
        if let Ok(status) = status {
            *statuses.entry(status).or_default() += 1;
        }
        report.count(status.err().map(|wrong| format!("event {number}: {wrong}")));
        if number % BATCH == 0 || number == count {
            let reply = tested.send(good.clone()).await?;
            let panicked = tested.function.log().iter().any(|line| line.contains("panic"));
            if reply.status != 200 || panicked || tested.function.pid() != process {
                report.lost += 1;
                report.remark(&format!("after event {number}: {}, panicked: {panicked}", reply.status));
                break;
            }
        }
        harness.bar.inc(1);
    }
    ensure!(count < ENOUGH || statuses.keys().eq(&STATUSES), "not every status occurred: {statuses:?}");
    let statuses: Vec<_> = statuses.iter().map(|(status, count)| format!("{count} × {status}")).collect();
    report.remark(&format!("{} MB; {}", bytes / 1_000_000, statuses.join(", ")));
    report.remark(&format!("{} a second", rate(report.tried, begin)));
    Ok(report)
}

/// Returns the status of a response, or what is wrong with it.
fn status(outcome: Outcome) -> Result<u64, String> {
    let response = match outcome {
        Outcome::Response(response) => response,
        Outcome::Error(error) => return Err(error.to_string()),
    };
    let status = response["statusCode"].as_u64().filter(|status| STATUSES.contains(status));
    let status = status.ok_or_else(|| response.to_string())?;
    match response["body"].as_str() {
        // A preflight, and an event that keeps the environment warm.
        Some("ok" | "warm") => Ok(status),
        Some(body) => violation(&response, body).map_or(Ok(status), Err),
        None => Err(format!("no body: {response}")),
    }
}

/// Returns how a response with this body violates openapi.yaml.
pub fn violation(response: &Value, body: &str) -> Option<String> {
    let status = response["statusCode"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or_default();
    // A REST API and a load balancer get each header as a list.
    let header = |name: &str| response["headers"][name].as_str().or(response["multiValueHeaders"][name][0].as_str());
    openapi::violation(status, |name| header(name).map(ToOwned::to_owned), body)
}

/// Asserts that the response to a file's event is the one that its name promises, with the demo account.
pub fn assert_documented_response(name: &str, response: &Value) {
    let promised: u64 = name[..3].parse().unwrap_or_else(|_| panic!("{name} does not begin with a status"));
    assert_eq!(response["statusCode"], promised, "{name}: {response}");
    let body = response["body"].as_str().unwrap();
    if body.starts_with('{') {
        assert_eq!(violation(response, body), None, "{name}");
    }
    if name == "200-documented-request.json" {
        let page: Value = serde_json::from_str(body).unwrap();
        assert_eq!(page["total"], 24);
        assert_eq!(page["sessions"][0], documented_session());
    }
}

fn documented_session() -> Value {
    let contract = include_str!("../../../../docs/contract.md");
    let (_, example) = contract.split_once("```json").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    serde_json::from_str::<Value>(example).unwrap()["sessions"][0].clone()
}
