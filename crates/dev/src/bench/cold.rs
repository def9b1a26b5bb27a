//! Measures from the start of a process to its first response, including both secrets, TLS, SCRAM and the first query.
//! The programs are in the page cache.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use testkit::{Function, process};

use super::{Part, candidate::Candidate, context::BenchContext, data, measured_request::MeasuredRequest, runner::body};
use crate::measure::{
    sample::Sample,
    table::{Cell, Row},
};

pub const FIRST_POLL: &str = "start to the first poll for an event";
pub const FIRST_RESPONSE: &str = "start to the first response";

const STARTS: u32 = 40;

pub async fn run(bench: &BenchContext) -> Result<Vec<Row>> {
    let request = MeasuredRequest::new(data::SMALL, &json!({ "limit": 50 }))?;
    let candidates = bench.present(Candidate::is_function);
    let mut times: Vec<StartTimes> = candidates.iter().map(|_| StartTimes::default()).collect();
    // The first start of each candidate is not counted: it reads from the disk.
    let starts = bench.times(STARTS).max(3) as usize;
    bench.bar.set_length((starts + 1) as u64 * candidates.len() as u64);
    for turn in 0..=starts {
        for place in 0..candidates.len() {
            let place = (place + turn) % candidates.len();
            let start = Start::measure(bench, candidates[place], &request).await?;
            if turn > 0 {
                times[place].add(&start);
            }
            bench.bar.inc(1);
        }
    }
    let mut rows = [FIRST_POLL, FIRST_RESPONSE].map(|case| Row::new(Part::Cold.title(), case, "ms"));
    for (candidate, times_of) in candidates.iter().zip(times) {
        let cpu = Sample::of(times_of.cpu).median();
        for (row, (times, cpu)) in rows.iter_mut().zip([(times_of.first_poll, None), (times_of.first_response, cpu)]) {
            row.cells.extend(Cell::of(&Sample::of(times), cpu).map(|cell| (candidate.name(), cell)));
        }
    }
    Ok(rows.into())
}

/// In milliseconds.
#[derive(Default)]
struct StartTimes {
    first_poll: Vec<f64>,
    first_response: Vec<f64>,
    cpu: Vec<f64>,
}

impl StartTimes {
    fn add(&mut self, start: &Start) {
        self.first_poll.push(start.first_poll);
        self.first_response.push(start.first_response);
        self.cpu.push(start.cpu);
    }
}

/// In milliseconds.
struct Start {
    first_poll: f64,
    first_response: f64,
    cpu: f64,
}

impl Start {
    async fn measure(bench: &BenchContext, candidate: Candidate, request: &MeasuredRequest) -> Result<Self> {
        let milliseconds = |begin: Instant| begin.elapsed().as_secs_f64() * 1e3;
        let (options, event) = (bench.options(candidate)?, request.event.clone());
        let begin = Instant::now();
        let function = Function::start(options).await?;
        let first_poll = milliseconds(begin);
        let outcome = function.invoke(event).await?;
        let first_response = milliseconds(begin);
        body(outcome)?;
        let cpu = function.pid().map(process::cpu).transpose()?.unwrap_or_default().as_secs_f64() * 1e3;
        Ok(Self { first_poll, first_response, cpu })
    }
}
