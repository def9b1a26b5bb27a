//! A load on real environments, and what it costs: processor time, environments, connections.

use std::{
    cell::{Cell, RefCell},
    fs,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use serde_json::json;
use testkit::{Function, FunctionOptions, process};
use tokio::time::{Instant, sleep_until};

use crate::{
    bench::{measured_request::MeasuredRequest, runner::body, services::BenchServices},
    measure::sample::Sample,
};

/// Requests to each environment, for each event at a time, before the measurement.
const WARM_UP: u32 = 10;

pub struct Load<'a> {
    /// A database, or a secret that leads to one.
    pub database: &'a str,
    pub account: u32,
    pub page: u32,
    /// Requests a second, at equal intervals.
    pub rate: f64,
    pub requests: u32,
    pub environments: usize,
    /// Events at a time in one environment.
    pub concurrency: usize,
    /// Send unnamed statements, as behind a pooler.
    pub is_unnamed: bool,
}

/// Milliseconds are of one request.
pub struct Measured {
    pub database_ms: f64,
    pub function_ms: f64,
    pub duration_ms: f64,
    /// Events that run, on average over time.
    pub busy: f64,
    /// The function's connections at the end.
    pub connections: f64,
}

impl Measured {
    /// Returns a percentile of each figure.
    pub fn percentile(rounds: &[Self], percent: usize) -> Self {
        let of =
            |figure: fn(&Self) -> f64| Sample::of(rounds.iter().map(figure)).percentile(percent).unwrap_or_default();
        Self {
            database_ms: of(|measured| measured.database_ms),
            function_ms: of(|measured| measured.function_ms),
            duration_ms: of(|measured| measured.duration_ms),
            busy: of(|measured| measured.busy),
            connections: of(|measured| measured.connections),
        }
    }
}

impl Load<'_> {
    /// Sends each request to the first environment that can serve another event, as Lambda prefers those that it has used.
    pub async fn run(&self, services: &BenchServices, binary: &Path) -> Result<Measured> {
        let request = MeasuredRequest::new(self.account, &json!({ "limit": self.page }))?;
        let start = async |_| {
            let mut options = FunctionOptions::new(binary, &[]);
            options.env = services.variables(self.database);
            if self.concurrency > 1 {
                options.env.push(("AWS_LAMBDA_MAX_CONCURRENCY".to_owned(), self.concurrency.to_string()));
            }
            if self.is_unnamed {
                options.env.push(("DATABASE_STATEMENTS".to_owned(), "unnamed".to_owned()));
            }
            options.log_max = 100;
            let function = Function::start(options).await?;
            for _ in 0..WARM_UP {
                let together = (0..self.concurrency).map(|_| function.invoke(request.event.clone()));
                try_join_all(together).await?.into_iter().try_for_each(|outcome| body(outcome).map(drop))?;
            }
            anyhow::Ok(function)
        };
        let functions = try_join_all((0..self.environments).map(start)).await?;
        let running = RefCell::new(vec![0; functions.len()]);
        let busy = Cell::new(Duration::ZERO);
        let cpu = || functions.iter().filter_map(Function::pid).map(process::cpu).sum::<Result<Duration>>();
        let (database, function, begin) = (cpu_of_server(services)?, cpu()?, Instant::now());
        try_join_all((0..self.requests).map(async |number| {
            sleep_until(begin + Duration::from_secs_f64(f64::from(number) / self.rate)).await;
            let place = {
                let running = &mut *running.borrow_mut();
                let free = running.iter().position(|events| *events < self.concurrency);
                let place = free.or_else(|| (0..running.len()).min_by_key(|place| running[*place]));
                let place = place.context("at least one environment")?;
                running[place] += 1;
                place
            };
            let sent = Instant::now();
            body(functions[place].invoke(request.event.clone()).await?)?;
            busy.set(busy.get() + sent.elapsed());
            running.borrow_mut()[place] -= 1;
            anyhow::Ok(())
        }))
        .await?;
        let (elapsed, requests) = (begin.elapsed(), f64::from(self.requests));
        let each = |time: Duration| time.as_secs_f64() * 1e3 / requests;
        Ok(Measured {
            database_ms: each(cpu_of_server(services)?.saturating_sub(database)),
            function_ms: each(cpu()?.saturating_sub(function)),
            duration_ms: each(busy.get()),
            busy: busy.get().as_secs_f64() / elapsed.as_secs_f64(),
            connections: services.connections().await?,
        })
    }
}

/// Returns the processor time of PostgreSQL's processes.
fn cpu_of_server(services: &BenchServices) -> Result<Duration> {
    let file = services.server.folder().join("data/postmaster.pid");
    let text = fs::read_to_string(file).context("PostgreSQL runs")?;
    let server: u32 = text.lines().next().unwrap_or_default().parse()?;
    let mut total = process::cpu(server)?;
    for child in fs::read_to_string(format!("/proc/{server}/task/{server}/children"))?.split_whitespace() {
        total += process::cpu(child.parse()?).unwrap_or_default();
    }
    Ok(total)
}
