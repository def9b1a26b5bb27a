//! `cargo dev bench`: measures the function against other implementations, alternating within one run.

mod candidate;
mod cold;
mod context;
pub mod data;
mod driver;
mod figures;
mod footprint;
mod goals;
mod machine;
pub mod measured_request;
mod peers;
mod race;
mod report;
pub mod runner;
pub mod services;
mod warm;
mod writes;

use std::{path::PathBuf, time::Instant};

use anyhow::Result;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use self::{candidate::Candidate, context::BenchContext, report::Report};
use crate::{
    build::build,
    measure::table::{Row, Table},
    steps::Steps,
};

#[derive(clap::Args)]
#[group(skip)]
pub struct BenchOptions {
    /// Run these parts only, separated by commas
    #[arg(long, value_name = "PARTS", value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Multiply the sizes of accounts and the number of repetitions by N, from 0.001 to 1: 0.05 for a quick look
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = scale)]
    scale: f64,
    /// Use this binary instead of building the function optimised
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Write table and plots here [default: crates/dev/bench/results for a whole run, else target/dev/bench/results]
    #[arg(long, value_name = "FOLDER")]
    results: Option<PathBuf>,
    /// Measure in this unoptimised build of the bench itself: only for tests, because the figures are meaningless
    #[arg(long, hide = true)]
    unoptimised: bool,
}

fn scale(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|scale| (0.001..=1.0).contains(scale)).ok_or_else(|| "it must be 0.001 to 1".to_owned())
}

/// A part of the bench and of its table.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Start of a process to its first response
    Cold,
    /// Pages of 1 to 100 sessions
    Pages,
    /// Accounts of 1,000 to 1,000,000 sessions
    Accounts,
    /// Offsets of 0 to 100,000
    Offsets,
    /// Every filter and combination
    Filters,
    /// Resident memory after many requests
    Memory,
    /// Size of the deployed package
    Package,
    /// Cost of the materialized counts for writers
    Writes,
}

impl Part {
    pub fn title(self) -> &'static str {
        match self {
            Self::Cold => "Cold start",
            Self::Pages => "Page size",
            Self::Accounts => "Account size",
            Self::Offsets => "Offset",
            Self::Filters => "Filter",
            Self::Memory => "Memory",
            Self::Package => "Package",
            Self::Writes => "Writes",
        }
    }

    async fn run(self, bench: &BenchContext) -> Result<Vec<Row>> {
        match self {
            Self::Cold => cold::run(bench).await,
            Self::Pages => warm::pages(bench).await,
            Self::Accounts => warm::accounts(bench).await,
            Self::Offsets => warm::offsets(bench).await,
            Self::Filters => warm::filters(bench).await,
            Self::Memory => footprint::memory(bench).await,
            Self::Package => footprint::package(bench),
            Self::Writes => writes::run(bench).await,
        }
    }
}

/// Runs the parts in order in an optimised build of this program; prints the table and writes it with its plots.
pub async fn bench(options: BenchOptions) -> Result<()> {
    if cfg!(debug_assertions) && !options.unoptimised { driver::run_optimised().await } else { measure(options).await }
}

async fn measure(options: BenchOptions) -> Result<()> {
    let begin = Instant::now();
    let report = Report::begin(&options)?;
    let binary = match options.binary.clone() {
        Some(binary) => binary,
        None => build(true).await?,
    };
    Steps::Error.done(begin, "build", &binary.display().to_string());
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{msg:9} {wide_bar} {human_pos} of {human_len}, {eta} left")?);
    let bench = BenchContext::start(binary, options.scale, bar).await?;
    let mut rows = Vec::new();
    for part in Part::value_variants() {
        if !options.only.is_empty() && !options.only.contains(part) {
            continue;
        }
        let begin = Instant::now();
        bench.bar.reset();
        bench.bar.set_length(0);
        bench.bar.set_message(part.title());
        rows.extend(part.run(&bench).await?);
        bench.bar.finish_and_clear();
        Steps::Error.done(begin, part.title(), "measured");
    }
    let missing = bench.missing.iter().map(|(candidate, reason)| (candidate.name(), reason.clone())).collect();
    let table = Table { columns: Candidate::ALL.map(Candidate::name).to_vec(), missing, rows };
    report.finish(&bench, table).await
}
