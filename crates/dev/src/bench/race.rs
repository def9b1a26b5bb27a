//! Alternates between candidates, so that other load on the machine affects all of them equally.

use std::time::Duration;

use anyhow::Result;

use super::{
    candidate::Candidate,
    context::{BenchContext, reason},
    measured_request::MeasuredRequest,
    runner::Runner,
};
use crate::measure::{
    sample::Sample,
    table::{Cell, Row},
};

/// Requests to one candidate before the next one's turn.
const BLOCK: u32 = 5;

/// First requests to each candidate, which are not counted: caches fill and code is compiled.
const WARM_UP: u32 = 30;

/// Time for one candidate in one case, without its warm-up. A slow candidate makes fewer rounds.
const BUDGET: Duration = Duration::from_secs(6);

/// Requests that are measured even beyond the budget; half as many warm up.
const MIN_REQUESTS: usize = 4;

pub struct Entrant<'a> {
    pub candidate: Candidate,
    pub runner: &'a Runner,
    pub request: MeasuredRequest,
    /// The row of the table that gets its figure.
    pub row: usize,
}

/// Sends every entrant this many requests and adds its median, in milliseconds, to the rows.
pub async fn race(bench: &BenchContext, entrants: &[Entrant<'_>], rounds: u32, rows: &mut [Row]) -> Result<()> {
    let budget = BUDGET.mul_f64(bench.scale);
    let mut results: Vec<Measured> = entrants.iter().map(|_| Measured::default()).collect();
    bench.bar.inc_length(entrants.len() as u64 * u64::from(rounds));
    for (entrant, result) in entrants.iter().zip(&mut results) {
        result.warm_up(entrant, budget).await;
    }
    for turn in 0..rounds.div_ceil(BLOCK) as usize {
        for place in 0..entrants.len() {
            // A different entrant begins each turn.
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
            (failure, _) => drop(row.failed.insert(name, failure.unwrap_or_else(|| "no response".to_owned()))),
        }
    }
    Ok(())
}

#[derive(Default)]
struct Measured {
    /// In milliseconds.
    times: Vec<f64>,
    spent: Duration,
    cpu: Duration,
    has_cpu: bool,
    total: Option<i64>,
    failure: Option<String>,
}

impl Measured {
    async fn warm_up(&mut self, entrant: &Entrant<'_>, budget: Duration) {
        let mut spent = Duration::ZERO;
        for request in 0..WARM_UP {
            if spent > budget / 4 && request as usize >= MIN_REQUESTS / 2 {
                break;
            }
            match entrant.runner.send(&entrant.request).await {
                Ok(response) => {
                    spent += response.time;
                    self.total = response.total;
                }
                Err(error) => return self.failure = Some(reason(&error)),
            }
        }
    }

    async fn run(&mut self, entrant: &Entrant<'_>, budget: Duration) -> Result<()> {
        let before = entrant.runner.cpu()?;
        for _ in 0..BLOCK {
            if self.failure.is_some() || (self.spent > budget && self.times.len() >= MIN_REQUESTS) {
                break;
            }
            match entrant.runner.send(&entrant.request).await {
                Ok(response) => {
                    self.times.push(response.time.as_secs_f64() * 1e3);
                    self.spent += response.time;
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

    /// Fails the entrant if its total is wrong: its figure does not count.
    fn expect(&mut self, total: i64) {
        if self.total != Some(total) && self.failure.is_none() {
            self.failure = Some(format!("its total is {:?}, not {total}", self.total));
        }
    }

    fn cpu_each(&self) -> Option<f64> {
        let count = u32::try_from(self.times.len()).ok().filter(|count| *count > 0)?;
        self.has_cpu.then(|| self.cpu.as_secs_f64() * 1e3 / f64::from(count))
    }
}
