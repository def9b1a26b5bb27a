//! Real faults and their costs. Each module injects one kind of fault: a few times in tests, and repeatedly in
//! `cargo dev soak`. What prevents a trial is an error; what the function does wrong is counted.

pub mod accounts;
pub mod certificates;
pub mod endurance;
pub mod events;
pub mod freezing;
pub mod grants;
pub mod materialized_counts;
pub mod memory;
pub mod names;
pub mod network;
pub mod slow;
pub mod states;
pub mod tenants;
mod under_test;
pub mod vault;
pub mod wire;

use std::{fmt, path::PathBuf, time::Instant};

use indicatif::ProgressBar;

pub use under_test::{FunctionUnderTest, Reply, Setup};

/// The binary under test, and the progress bar.
#[derive(Clone)]
pub struct Harness {
    pub binary: PathBuf,
    pub bar: ProgressBar,
    /// Events at a time, as on Lambda Managed Instances if there are several.
    pub concurrency: usize,
}

impl Harness {
    pub fn quiet(binary: PathBuf) -> Self {
        Self { binary, bar: ProgressBar::hidden(), concurrency: 1 }
    }

    /// Every request of a fault is sent this many times at once.
    #[must_use]
    pub fn with_concurrency(self, concurrency: usize) -> Self {
        Self { concurrency, ..self }
    }
}

/// The result of one kind of fault.
#[derive(Clone, Debug)]
pub struct FaultReport {
    pub fault: String,
    pub tried: u64,
    pub lost: u64,
    /// Other results, and the first loss.
    pub remarks: String,
}

impl FaultReport {
    pub fn new(fault: impl Into<String>) -> Self {
        Self { fault: fault.into(), tried: 0, lost: 0, remarks: String::new() }
    }

    /// Counts one trial and what was wrong with it.
    pub fn count(&mut self, wrong: Option<String>) {
        self.tried += 1;
        if let Some(wrong) = wrong {
            self.lost += 1;
            if self.lost == 1 {
                self.remark(&wrong);
            }
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.tried += other.tried;
        self.lost += other.lost;
        if !self.remarks.contains(&other.remarks) {
            self.remark(&other.remarks);
        }
    }

    pub fn remark(&mut self, remark: &str) {
        if !self.remarks.is_empty() {
            self.remarks.push_str("; ");
        }
        self.remarks.push_str(remark);
    }
}

/// Adds up the reports of several workers, each of which reports every kind.
fn sum<const N: usize>(workers: impl IntoIterator<Item = [FaultReport; N]>) -> [FaultReport; N] {
    let add = |mut sums: [FaultReport; N], reports: [FaultReport; N]| {
        sums.iter_mut().zip(&reports).for_each(|(sum, report)| sum.add(report));
        sums
    };
    workers.into_iter().reduce(add).expect("there is a worker")
}

/// A row of a table in Markdown.
impl fmt::Display for FaultReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {} | {} | {} | {} |", self.fault, self.tried, self.lost, self.remarks.replace('|', "\\|"))
    }
}

fn rate(tried: u64, since: Instant) -> u128 {
    u128::from(tried) * 1_000 / since.elapsed().as_millis().max(1)
}

/// Returns what is wrong with a reply whose status is not expected.
pub fn unexpected(reply: &Reply, expected: &[u16]) -> Option<String> {
    let known = expected.contains(&reply.status) && (reply.status != 503 || reply.retry_after);
    (!known).then(|| format!("{} instead of {expected:?}: {}", reply.status, reply.text()))
}
