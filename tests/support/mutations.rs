//! Events that are wrong: those of `events/` with faults in them, the same ones for the same seed. All of them are JSON,
//! because what is not JSON the Invoke API refuses, and no Lambda ever sees it.

mod fault;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{function::Function, runtime_api::Outcome};

/// How many broken events lie between two good ones.
const BATCH: usize = 50;

/// The statuses that an event's own faults can have.
const STATUSES: [u64; 5] = [200, 400, 401, 405, 413];

/// What came of the events.
#[derive(Debug, Default)]
pub struct Report {
    /// How many there were of each status.
    pub statuses: BTreeMap<u64, usize>,
    /// The size of all of them together, in bytes.
    pub bytes: usize,
}

/// The files of `events/` by their names.
pub fn events() -> Result<BTreeMap<String, String>> {
    let mut events = BTreeMap::new();
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("events"))? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        events.insert(name, fs::read_to_string(&path)?);
    }
    Ok(events)
}

/// Sends `count` broken events to a function over the demo account, and a good one after every batch. `judge` sees every
/// event and its answer.
///
/// # Errors
///
/// The first event that costs more than itself: the process, an answer, a status of ours, or the good event after it.
pub async fn run(function: &Function, count: usize, seed: u64, judge: impl Fn(&str, &Value)) -> Result<Report> {
    let events = events()?;
    let good = events.get("200-documented-request.json").context("the documented request")?;
    let all: Vec<Value> = events.values().map(|event| serde_json::from_str(event)).collect::<Result<_, _>>()?;
    let mut random = fastrand::Rng::with_seed(seed);
    let process = function.pid();
    let mut report = Report::default();
    for number in 0..count {
        let event = fault::broken(&all, &mut random);
        let size = event.len();
        let answer = answer(function, &event).await.with_context(|| format!("event {number} of seed {seed}"))?;
        let status = answer["statusCode"].as_u64().unwrap_or_default();
        ensure!(STATUSES.contains(&status), "event {number} of seed {seed}: {answer}\n{}", shown(&event));
        judge(&event, &answer);
        *report.statuses.entry(status).or_default() += 1;
        report.bytes += size;
        if number % BATCH == BATCH - 1 || number == count - 1 {
            let answer = self::answer(function, good).await?;
            ensure!(answer["statusCode"] == 200, "the good event after event {number} of seed {seed}: {answer}");
            ensure!(function.pid() == process, "the process is another after event {number} of seed {seed}");
        }
    }
    Ok(report)
}

async fn answer(function: &Function, event: &str) -> Result<Value> {
    match function.invoke(event.to_owned()).await? {
        Outcome::Response(answer) => Ok(answer),
        Outcome::Error(error) => anyhow::bail!("the function failed: {error}\n{}", shown(event)),
    }
}

/// As much of an event as a person reads.
fn shown(event: &str) -> String {
    event.chars().take(2_000).collect()
}
