//! Events that are wrong: those of `events/` with faults in them, the same ones for the same seed. All of them are JSON,
//! because what is not JSON the Invoke API refuses, and no Lambda ever sees it.

mod broken;
mod odd;

use std::{collections::BTreeMap, fs, path::Path, time::Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Lab, Setup, Subject, Tally, rate};
use crate::support::{database::Database, keys, openapi, postgres::Server, runtime_api::Outcome, seed};

/// How many broken events lie between two good ones.
const BATCH: u64 = 50;

/// So many come to every status there is.
const ENOUGH: u64 = 1_000;

/// The statuses that an event's own faults can have.
const STATUSES: [u64; 5] = [200, 400, 401, 405, 413];

/// The files of `events/` by their names.
///
/// # Errors
///
/// If one of them cannot be read.
pub fn files() -> Result<BTreeMap<String, String>> {
    let mut events = BTreeMap::new();
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("events"))? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        events.insert(name, fs::read_to_string(&path)?);
    }
    Ok(events)
}

/// The function over the demo account, whose token the files have.
///
/// # Errors
///
/// What prevents it.
pub async fn demo(lab: &Lab, server: &Server) -> Result<Subject> {
    let database = Database::create(server).await?;
    database.load(seed::DEMO_SQL).await?;
    let ring = keys::json(&seed::demo_ring())?;
    Subject::start(lab, database, Setup { ring: Some(ring), ..Setup::default() }).await
}

/// Sends so many broken events, and a good one after every batch. One that costs more than itself is what can be lost: an
/// answer that openapi.yaml does not publish or that is not the event's own fault, a panic, the process, or the good event
/// after it.
///
/// # Errors
///
/// What prevents the trial.
pub async fn run(lab: &Lab, count: u64, seed: u64) -> Result<Tally> {
    let server = Server::start()?;
    let subject = demo(lab, &server).await?;
    let events = files()?;
    let good = events.get("200-documented-request.json").context("the documented request")?;
    let all: Vec<Value> = events.values().map(|event| serde_json::from_str(event)).collect::<Result<_, _>>()?;
    let mut random = fastrand::Rng::with_seed(seed);
    let process = subject.function.pid();
    let (begin, mut bytes, mut statuses) = (Instant::now(), 0, BTreeMap::<u64, u64>::new());
    let mut tally = Tally::new("malformed events");
    for number in 1..=count {
        let event = broken::event(&all, &mut random);
        bytes += event.len();
        let status = status(subject.function.invoke(event).await?);
        if let Ok(status) = status {
            *statuses.entry(status).or_default() += 1;
        }
        tally.count(status.err().map(|wrong| format!("event {number}: {wrong}")));
        if number % BATCH == 0 || number == count {
            let answer = subject.send(good.clone()).await?;
            let panicked = subject.function.log().iter().any(|line| line.contains("panic"));
            if answer.status != 200 || panicked || subject.function.pid() != process {
                tally.lost += 1;
                tally.remark(&format!("after event {number}: {}, panicked: {panicked}", answer.status));
                break;
            }
        }
        lab.bar.inc(1);
    }
    ensure!(count < ENOUGH || statuses.keys().eq(&STATUSES), "not every status was met: {statuses:?}");
    let statuses: Vec<_> = statuses.iter().map(|(status, count)| format!("{count} × {status}")).collect();
    tally.remark(&format!("{} MB; {}", bytes / 1_000_000, statuses.join(", ")));
    tally.remark(&format!("{} a second", rate(tally.tried, begin)));
    Ok(tally)
}

/// The status of an answer, or what is wrong with it.
fn status(outcome: Outcome) -> Result<u64, String> {
    let answer = match outcome {
        Outcome::Response(answer) => answer,
        Outcome::Error(error) => return Err(error.to_string()),
    };
    let status = answer["statusCode"].as_u64().filter(|status| STATUSES.contains(status));
    let status = status.ok_or_else(|| answer.to_string())?;
    match answer["body"].as_str() {
        // A preflight, and an event that keeps the environment warm.
        Some("ok" | "warm") => Ok(status),
        Some(body) => published(&answer, body).map_or(Ok(status), Err),
        None => Err(format!("no body: {answer}")),
    }
}

/// What openapi.yaml does not say of the answer to an event, which has this body.
pub fn published(answer: &Value, body: &str) -> Option<String> {
    let status = answer["statusCode"].as_u64().and_then(|status| status.try_into().ok()).unwrap_or_default();
    // A REST API and a load balancer get each header as a list.
    let header = |name: &str| answer["headers"][name].as_str().or(answer["multiValueHeaders"][name][0].as_str());
    openapi::fault(status, |name| header(name).map(ToOwned::to_owned), body)
}
