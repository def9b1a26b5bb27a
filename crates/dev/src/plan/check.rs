//! Measures the plan's figures, and compares its predictions with a load on this machine.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use testkit::terminal;

use super::{
    Cost, Figures, busy,
    distance::Distance,
    load::{Load, Measured},
};
use crate::{
    bench::{
        data::{LARGE, MATERIALIZED, MIDDLE, PLAIN, SMALL},
        services::BenchServices,
    },
    build::build,
    measure::number,
    steps::Steps,
};

/// Of the bench's accounts: 1,000, 10,000 and 50,000 sessions.
const SCALE: f64 = 0.05;

/// Between the function and PostgreSQL, so that a request takes mostly time that other programs on the machine do not
/// change.
const EACH_WAY: Duration = Duration::from_millis(20);

/// The largest difference between a prediction and its measurement, in percent of the measurement.
const ERROR_MAX: f64 = 20.0;

/// How often every load runs, alternately, so that other programs affect all of them equally.
const ROUNDS: usize = 5;
const REQUESTS: u32 = 300;

/// For the plan's figures: many short rounds, so that some of them meet no other program.
const SHORT_ROUNDS: usize = 40;
const SHORT_REQUESTS: u32 = 50;

/// Enough for every load whose environments serve one event at a time.
const ENVIRONMENTS: usize = 12;

/// Requests a second that are more than an environment can serve, so that it serves one after the other.
const BACK_TO_BACK: f64 = 1e6;

#[derive(clap::Args)]
#[group(skip)]
pub struct CheckOptions {
    /// Measure the processor times of an environment that is always busy, and print them as the source has them
    #[arg(long)]
    measure: bool,
    /// Compare predictions with three loads on this machine; exits with 1 if one is wrong by more than 20 %
    ///
    /// PostgreSQL is 40 ms away from several environments, to which requests come at fixed rates. The predictions are
    /// computed from seven other loads of the same run, which alternate with these.
    #[arg(long)]
    check: bool,
    /// Use this binary instead of building the function optimised
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

impl CheckOptions {
    pub fn is_load(&self) -> bool {
        self.measure || self.check
    }
}

pub async fn check(options: &CheckOptions) -> Result<()> {
    let begin = Instant::now();
    let binary = match options.binary.clone() {
        Some(binary) => binary,
        None => build(true).await?,
    };
    Steps::Error.done(begin, "build", &binary.display().to_string());
    let services = BenchServices::start(SCALE).await?;
    let distance = Distance::start(services.server.port(), EACH_WAY).await?;
    let away = (services.store_login(PLAIN, distance.port)?, services.store_login(MATERIALIZED, distance.port)?);
    let near = (PLAIN.to_owned(), MATERIALIZED.to_owned());
    // What a request costs depends on what else runs: predictions are compared with figures of the same circumstances, and
    // the plan is for environments that are busy.
    let ((plain, materialized), rate, environments, requests, rounds, percentile) = if options.check {
        (away, 100.0, ENVIRONMENTS, REQUESTS, ROUNDS, 50)
    } else {
        (near, BACK_TO_BACK, 1, SHORT_REQUESTS, SHORT_ROUNDS, 10)
    };
    let load = |database, account, page, rate| Load {
        database,
        account,
        page,
        rate,
        requests,
        environments,
        concurrency: 1,
        is_unnamed: false,
    };
    let mut loads = vec![
        load(&plain, SMALL, 1, rate),
        load(&plain, SMALL, 100, rate),
        load(&plain, LARGE, 1, rate),
        load(&materialized, SMALL, 1, rate),
        load(&materialized, SMALL, 100, rate),
        Load { is_unnamed: true, ..load(&plain, SMALL, 1, rate) },
        Load { is_unnamed: true, ..load(&materialized, SMALL, 1, rate) },
    ];
    let figure_loads = loads.len();
    if options.check {
        loads.push(load(&plain, SMALL, 20, 60.0));
        loads.push(load(&plain, MIDDLE, 50, 80.0));
        let managed = load(&materialized, LARGE, 50, 120.0);
        loads.push(Load { environments: 1, concurrency: 16, ..managed });
    }

    let begin = Instant::now();
    let mut measured: Vec<Vec<Measured>> = loads.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (load, measured) in loads.iter().zip(&mut measured) {
            measured.push(load.run(&services, &binary).await?);
        }
    }
    let measured: Vec<Measured> = measured.iter().map(|rounds| Measured::percentile(rounds, percentile)).collect();
    Steps::Error.done(begin, "loads", &format!("{} of {requests} requests", loads.len() * rounds));
    let thousands = |account| f64::from(services.sizes.of(account)) / 1e3;
    let figures = Figures::of(&measured, thousands(SMALL), thousands(LARGE));
    if !options.check {
        terminal::out(format!("{figures:.4?}"));
        return Ok(());
    }
    let first = &measured[0];
    let waiting_ms = first.duration_ms - first.database_ms - first.function_ms;
    terminal::out("| load | | predicted | measured | error |\n| --- | --- | ---: | ---: | ---: |");
    let mut worst = 0.0_f64;
    for (load, measured) in loads.iter().zip(&measured).skip(figure_loads) {
        let sessions = services.sizes.of(load.account);
        worst = worst.max(compare(load, load.database == materialized, sessions, figures, waiting_ms, measured));
    }
    ensure!(worst <= ERROR_MAX, "a prediction is wrong by {worst:.0} %, more than {ERROR_MAX} %");
    Ok(())
}

impl Figures {
    /// Solves the costs from the first seven loads.
    fn of(measured: &[Measured], small: f64, large: f64) -> Self {
        let line = |one: f64, hundred: f64, thousand_sessions: f64, unnamed: f64| {
            let row = (hundred - one) / 99.0;
            Cost { request: one - row - thousand_sessions * small, unnamed: unnamed - one, row, thousand_sessions }
        };
        let database = |load: usize| measured[load].database_ms;
        let function = |load: usize| measured[load].function_ms;
        let (one, hundred) = (f64::midpoint(function(0), function(3)), f64::midpoint(function(1), function(4)));
        Self {
            computed: line(database(0), database(1), (database(2) - database(0)) / (large - small), database(5)),
            materialized: line(database(3), database(4), 0.0, database(6)),
            function: line(one, hundred, 0.0, f64::midpoint(function(5), function(6))),
        }
    }
}

/// Prints a line for each figure of a load; returns the largest error in percent.
#[expect(clippy::cast_precision_loss, reason = "connections are few")]
fn compare(
    load: &Load<'_>,
    has_counts: bool,
    sessions: u32,
    figures: Figures,
    waiting_ms: f64,
    measured: &Measured,
) -> f64 {
    let Load { page, rate, environments, concurrency, .. } = *load;
    let (database_ms, function_ms) =
        (figures.database(has_counts).of(page, sessions), figures.function.of(page, sessions));
    let connections = environments * concurrency.min(super::POOL_SIZE_MAX.into());
    let counts = if has_counts { ", counts" } else { "" };
    let name = format!("{rate} a second, page of {page}, {sessions} sessions{counts}, {concurrency} at a time");
    let mut worst = 0.0_f64;
    for (what, predicted, measured) in [
        ("PostgreSQL's processor, ms", database_ms, measured.database_ms),
        ("the function's processor, ms", function_ms, measured.function_ms),
        ("events at a time", busy(rate, waiting_ms + database_ms + function_ms), measured.busy),
        ("connections", connections as f64, measured.connections),
    ] {
        let error = (predicted / measured - 1.0).abs() * 100.0;
        terminal::out(format!("| {name} | {what} | {} | {} | {error:.0} % |", number(predicted), number(measured)));
        worst = worst.max(error);
    }
    worst
}
