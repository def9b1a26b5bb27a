//! `cargo dev bench`: the function against others that do the same, all of them in turns within one run.

mod cold;
mod contender;
mod data;
mod driver;
mod figures;
mod footprint;
mod goals;
mod lab;
mod machine;
mod peers;
mod question;
mod race;
mod report;
mod runner;
mod site;
mod warm;
mod writes;

use std::{path::PathBuf, time::Instant};

use anyhow::Result;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use self::{contender::Contender, lab::Lab, report::Report};
use crate::{
    build::build,
    steps::Steps,
    support::measure::table::{Row, Table},
};

#[derive(clap::Args)]
#[group(skip)]
pub struct Options {
    /// Run these parts only, separated by commas
    #[arg(long, value_name = "PARTS", value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Multiply the sizes of accounts and the number of repetitions by N, from 0.001 to 1: 0.05 for a look
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = scale)]
    scale: f64,
    /// Use this binary instead of building the function optimised
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Write table and plots here [default: benches/results for a whole run, else target/dev/bench/results]
    #[arg(long, value_name = "FOLDER")]
    results: Option<PathBuf>,
    /// Measure in this unoptimised build of the bench itself: for a test, because the figures are worth nothing
    #[arg(long, hide = true)]
    unoptimised: bool,
}

fn scale(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|scale| (0.001..=1.0).contains(scale)).ok_or_else(|| "it must be 0.001 to 1".to_owned())
}

/// A table's part.
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
    /// Cost of the kept counts to writers
    Writes,
}

impl Part {
    /// What it is called in the table.
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

    async fn run(self, lab: &Lab) -> Result<Vec<Row>> {
        match self {
            Self::Cold => cold::run(lab).await,
            Self::Pages => warm::pages(lab).await,
            Self::Accounts => warm::accounts(lab).await,
            Self::Offsets => warm::offsets(lab).await,
            Self::Filters => warm::filters(lab).await,
            Self::Memory => footprint::memory(lab).await,
            Self::Package => footprint::package(lab),
            Self::Writes => writes::run(lab).await,
        }
    }
}

/// Runs the parts one after the other, prints the table, and writes it with its plots; in an optimised build of this program.
///
/// # Errors
///
/// What prevents measuring. That a contender is missing or a goal is not met stands in the table.
pub async fn bench(options: Options) -> Result<()> {
    if cfg!(debug_assertions) && !options.unoptimised { driver::run_optimised().await } else { measure(options).await }
}

async fn measure(options: Options) -> Result<()> {
    let begin = Instant::now();
    let report = Report::begin(&options)?;
    let binary = match options.binary.clone() {
        Some(binary) => binary,
        None => build(true).await?,
    };
    Steps::Error.done(begin, "build", &binary.display().to_string());
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template("{msg:9} {wide_bar} {human_pos} of {human_len}, {eta} left")?);
    let lab = Lab::start(binary, options.scale, bar).await?;
    let mut rows = Vec::new();
    for part in Part::value_variants() {
        if !options.only.is_empty() && !options.only.contains(part) {
            continue;
        }
        let begin = Instant::now();
        lab.bar.reset();
        lab.bar.set_length(0);
        lab.bar.set_message(part.title());
        rows.extend(part.run(&lab).await?);
        lab.bar.finish_and_clear();
        Steps::Error.done(begin, part.title(), "measured");
    }
    let missing = lab.missing.iter().map(|(contender, reason)| (contender.name(), reason.clone())).collect();
    let table = Table { columns: Contender::ALL.map(Contender::name).to_vec(), missing, rows };
    report.finish(&lab, table).await
}
