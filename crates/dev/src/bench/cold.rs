//! From the start of a process to its first answer: both secrets, TLS, SCRAM and the first query are in it. The programs
//! have been read from the disk before.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use super::{Part, contender::Contender, data, lab::Lab, question::Question, runner::body};
use crate::support::{
    function::Function,
    measure::{
        process,
        sample::Sample,
        table::{Cell, Row},
    },
};

pub const READY: &str = "start to the first event asked for";
pub const ANSWERED: &str = "start to the first answer";

/// How often each is started.
const STARTS: u32 = 40;

pub async fn run(lab: &Lab) -> Result<Vec<Row>> {
    let question = Question::new(data::SMALL, &json!({ "limit": 50 }))?;
    let contenders = lab.present(Contender::is_function);
    let mut lanes: Vec<Lane> = contenders.iter().map(|_| Lane::default()).collect();
    // The first of each is not counted: it reads from the disk.
    let starts = lab.times(STARTS).max(3) as usize;
    lab.bar.set_length((starts + 1) as u64 * contenders.len() as u64);
    for turn in 0..=starts {
        for place in 0..contenders.len() {
            let place = (place + turn) % contenders.len();
            let start = Start::measure(lab, contenders[place], &question).await?;
            if turn > 0 {
                lanes[place].add(&start);
            }
            lab.bar.inc(1);
        }
    }
    let mut rows = [READY, ANSWERED].map(|case| Row::new(Part::Cold.title(), case, "ms"));
    for (contender, lane) in contenders.iter().zip(lanes) {
        let cpu = Sample::of(lane.cpu).median();
        for (row, (times, cpu)) in rows.iter_mut().zip([(lane.ready, None), (lane.answered, cpu)]) {
            row.cells.extend(Cell::of(&Sample::of(times), cpu).map(|cell| (contender.name(), cell)));
        }
    }
    Ok(rows.into())
}

/// All in milliseconds.
#[derive(Default)]
struct Lane {
    ready: Vec<f64>,
    answered: Vec<f64>,
    cpu: Vec<f64>,
}

impl Lane {
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
    async fn measure(lab: &Lab, contender: Contender, question: &Question) -> Result<Self> {
        let milliseconds = |begin: Instant| begin.elapsed().as_secs_f64() * 1e3;
        let (options, event) = (lab.options(contender)?, question.event.clone());
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
