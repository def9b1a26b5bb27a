//! Wall and CPU time of many rounds.

use std::{
    fmt,
    hint::black_box,
    time::{Duration, Instant},
};

use nix::time::{ClockId, clock_gettime};

/// The wall time of a step, and its CPU time on this thread.
#[derive(Clone, Copy)]
pub struct Time {
    wall: Duration,
    cpu: Duration,
}

fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock").into()
}

/// Times a step without dropping its outcome.
pub async fn timed<T>(step: impl Future<Output = T>) -> Time {
    let (cpu_before, begin) = (cpu(), Instant::now());
    let outcome = black_box(step.await);
    let time = Time { wall: begin.elapsed(), cpu: cpu().saturating_sub(cpu_before) };
    drop(outcome);
    time
}

/// The times of one side, in microseconds.
#[derive(Default)]
pub struct Times {
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

impl Times {
    pub fn add(&mut self, time: Time) {
        self.wall.push(time.wall.as_secs_f64() * 1e6);
        self.cpu.push(time.cpu.as_secs_f64() * 1e6);
    }

    pub fn sorted(mut self) -> Self {
        self.wall.sort_by(f64::total_cmp);
        self.cpu.sort_by(f64::total_cmp);
        self
    }

    /// Returns a percentile of the wall time.
    pub fn wall(&self, percent: usize) -> f64 {
        self.wall[(self.wall.len() - 1) * percent / 100]
    }
}

/// p10, p50 and p99 of the wall time, p50 of the CPU time.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = self.cpu[(self.cpu.len() - 1) / 2];
        write!(f, "{:>9.1}{:>9.1}{:>9.1}{cpu:>9.1}", self.wall(10), self.wall(50), self.wall(99))
    }
}
