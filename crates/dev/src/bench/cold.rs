//! From the start of a process to its first answer: both secrets, TLS, SCRAM and the first query are in it. The programs
//! have been read from the disk before.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;
use testkit::{Function, process};

use super::{Part, candidate::Candidate, context::BenchContext, data, question::Question, runner::body};
use crate::measure::{
    sample::Sample,
    table::{Cell, Row},
};

pub const READY: &str = "start to the first event asked for";
pub const ANSWERED: &str = "start to the first answer";

/// How often each is started.
const STARTS: u32 = 40;

pub async fn run(bench: &BenchContext) -> Result<Vec<Row>> {
    let question = Question::new(data::SMALL, &json!({ "limit": 50 }))?;
    let candidates = bench.present(Candidate::is_function);
    let mut times: Vec<StartTimes> = candidates.iter().map(|_| StartTimes::default()).collect();
    // The first of each is not counted: it reads from the disk.
    let starts = bench.times(STARTS).max(3) as usize;
    bench.bar.set_length((starts + 1) as u64 * candidates.len() as u64);
    for turn in 0..=starts {
        for place in 0..candidates.len() {
            let place = (place + turn) % candidates.len();
            let start = Start::measure(bench, candidates[place], &question).await?;
            if turn > 0 {
                times[place].add(&start);
            }
            bench.bar.inc(1);
        }
    }
    let mut rows = [READY, ANSWERED].map(|case| Row::new(Part::Cold.title(), case, "ms"));
    for (candidate, times_of) in candidates.iter().zip(times) {
        let cpu = Sample::of(times_of.cpu).median();
        for (row, (times, cpu)) in rows.iter_mut().zip([(times_of.ready, None), (times_of.answered, cpu)]) {
            row.cells.extend(Cell::of(&Sample::of(times), cpu).map(|cell| (candidate.name(), cell)));
        }
    }
    Ok(rows.into())
}

/// All in milliseconds.
#[derive(Default)]
struct StartTimes {
    ready: Vec<f64>,
    answered: Vec<f64>,
    cpu: Vec<f64>,
}

impl StartTimes {
    fn add(&mut self, start: &Start) {
        self.ready.push(start.ready);
        self.answered.push(start.answered);
        self.cpu.push(start.cpu);
    }
}

/// In milliseconds.
struct Start {
    ready: f64,
    answered: f64,
    cpu: f64,
}

impl Start {
    async fn measure(bench: &BenchContext, candidate: Candidate, question: &Question) -> Result<Self> {
        let milliseconds = |begin: Instant| begin.elapsed().as_secs_f64() * 1e3;
        let (options, event) = (bench.options(candidate)?, question.event.clone());
        let begin = Instant::now();
        let function = Function::start(options).await?;
        let ready = milliseconds(begin);
        let outcome = function.invoke(event).await?;
        let answered = milliseconds(begin);
        body(outcome)?;
        let cpu = function.pid().map(process::cpu).transpose()?.unwrap_or_default().as_secs_f64() * 1e3;
        Ok(Self { ready, answered, cpu })
    }
}
