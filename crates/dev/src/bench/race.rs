//! Candidates take turns, so that other load on the machine affects all of them equally.

use std::time::Duration;

use anyhow::Result;

use super::{
    candidate::Candidate,
    context::{BenchContext, reason},
    question::Question,
    runner::Runner,
};
use crate::measure::{
    sample::Sample,
    table::{Cell, Row},
};

/// How many requests a candidate gets before it is the next one's turn.
const BLOCK: u32 = 5;

/// The first requests of each are not counted: caches fill, code is compiled.
const WARM_UP: u32 = 30;

/// How long one candidate may take at one case, its warm-up not counted; a slow one makes fewer rounds then.
const BUDGET: Duration = Duration::from_secs(6);

/// So many requests are measured however long they take, and half as many go before them.
const LEAST: usize = 4;

pub struct Entrant<'a> {
    pub candidate: Candidate,
    pub runner: &'a Runner,
    pub question: Question,
    /// The row of the table that gets its figure.
    pub row: usize,
}

/// Asks every entrant so many times and puts what it took, in milliseconds, into the rows.
pub async fn race(bench: &BenchContext, entrants: &[Entrant<'_>], rounds: u32, rows: &mut [Row]) -> Result<()> {
    let budget = BUDGET.mul_f64(bench.scale);
    let mut results: Vec<Measured> = entrants.iter().map(|_| Measured::default()).collect();
    bench.bar.inc_length(entrants.len() as u64 * u64::from(rounds));
    for (entrant, result) in entrants.iter().zip(&mut results) {
        result.warm_up(entrant, budget).await;
    }
    for turn in 0..rounds.div_ceil(BLOCK) as usize {
        for place in 0..entrants.len() {
            // Another one begins each time.
            let place = (place + turn) % entrants.len();
            results[place].run(&entrants[place], budget).await?;
            bench.bar.inc(BLOCK.into());
        }
    }
    let mut totals: Vec<Option<i64>> = rows.iter().map(|_| None).collect();
    for (entrant, mut result) in entrants.iter().zip(results) {
        let row = &mut rows[entrant.row];
        if let Some(total) = result.total {
            let first = *totals[entrant.row].get_or_insert(total);
            result.expect(first);
        }
        let name = entrant.candidate.name();
        let cpu = result.cpu_each();
        match (result.failure, Cell::of(&Sample::of(result.times), cpu)) {
            (None, Some(cell)) => drop(row.cells.insert(name, cell)),
            (failure, _) => drop(row.failed.insert(name, failure.unwrap_or_else(|| "no answer".to_owned()))),
        }
    }
    Ok(())
}

/// What an entrant has come to so far.
#[derive(Default)]
struct Measured {
    /// In milliseconds.
    times: Vec<f64>,
    spent: Duration,
    cpu: Duration,
    has_cpu: bool,
    /// What it answered last.
    total: Option<i64>,
    failure: Option<String>,
}

impl Measured {
    async fn warm_up(&mut self, entrant: &Entrant<'_>, budget: Duration) {
        let mut spent = Duration::ZERO;
        for request in 0..WARM_UP {
            if spent > budget / 4 && request as usize >= LEAST / 2 {
                break;
            }
            match entrant.runner.ask(&entrant.question).await {
                Ok(answer) => {
                    spent += answer.time;
                    self.total = answer.total;
                }
                Err(error) => return self.failure = Some(reason(&error)),
            }
        }
    }

    async fn run(&mut self, entrant: &Entrant<'_>, budget: Duration) -> Result<()> {
        let before = entrant.runner.cpu()?;
        for _ in 0..BLOCK {
            if self.failure.is_some() || (self.spent > budget && self.times.len() >= LEAST) {
                break;
            }
            match entrant.runner.ask(&entrant.question).await {
                Ok(answer) => {
                    self.times.push(answer.time.as_secs_f64() * 1e3);
                    self.spent += answer.time;
                }
                Err(error) => self.failure = Some(reason(&error)),
            }
        }
        if let (Some(before), Some(after)) = (before, entrant.runner.cpu()?) {
            self.has_cpu = true;
            self.cpu += after.saturating_sub(before);
        }
        Ok(())
    }

    /// A figure for a wrong answer is none.
    fn expect(&mut self, total: i64) {
        if self.total != Some(total) && self.failure.is_none() {
            self.failure = Some(format!("its total is {:?}, and not {total}", self.total));
        }
    }

    fn cpu_each(&self) -> Option<f64> {
        let count = u32::try_from(self.times.len()).ok().filter(|count| *count > 0)?;
        self.has_cpu.then(|| self.cpu.as_secs_f64() * 1e3 / f64::from(count))
    }
}
