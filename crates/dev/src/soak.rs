//! `cargo dev soak`: injects the faults of the tests repeatedly and counts lost requests.

use std::{path::PathBuf, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use testkit::{
    FaultReport, Harness,
    faults::{
        certificates, endurance, events, freezing, grants, materialized_counts, memory, names, network, slow, states,
        tenants, vault, wire,
    },
    terminal::{out, wrapped},
};

use crate::{build::build, commit::commit, steps::Steps};

#[derive(clap::Args)]
#[group(skip)]
pub struct SoakOptions {
    /// Run these parts only, separated by commas
    #[arg(long, value_name = "PARTS", value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Multiply the number of trials by N, from 0.001 to 100: 0.01 for a quick look
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = scale)]
    scale: f64,
    /// Repeat the random choices of the run with this seed: its events, its writers and the order of its accounts
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Use this binary instead of building the function optimised
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Serve N events at a time in each environment, as on Lambda Managed Instances; leaves out the parts that freeze it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// Print the table in Markdown
    #[arg(long)]
    markdown: bool,
}

impl SoakOptions {
    /// Returns the command that runs one part again with the same random choices.
    fn replay(&self, part: &str, seed: u64) -> String {
        let binary = self.binary.as_ref().map_or(String::new(), |binary| format!(" --binary '{}'", binary.display()));
        let concurrency = match self.concurrency {
            1 => String::new(),
            number => format!(" --concurrency {number}"),
        };
        format!("cargo dev soak --only {part} --scale {} --seed {seed}{concurrency}{binary}", self.scale)
    }
}

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The environment frozen, its connection closed, thawed
    Freeze,
    /// The same on one core
    Pinned,
    /// The network: every fault in every phase of the protocol
    Network,
    /// The database: restarted, closed, full, read-only, failed over, crashed
    States,
    /// Queries that take too long
    Slow,
    /// Secrets Manager: failing, bad secrets, rotations
    Secrets,
    /// Secrets Manager's responses: slow, cut, endless
    Wire,
    /// Name resolution: failing, slow, dead addresses (needs root)
    Names,
    /// PostgreSQL's certificate: expiring, replaced, renewed
    Certificates,
    /// Grants and row level security, changed under load
    Grants,
    /// Huge texts under a memory limit
    Memory,
    /// Malformed events
    Events,
    /// A thousand accounts, interleaved
    Tenants,
    /// Materialized counts under random writers
    #[value(alias = "kept")]
    MaterializedCounts,
    /// One environment for a long time: memory and open files
    Endurance,
}

impl Part {
    /// Returns the number of trials at full scale, and the steps of the progress bar for each.
    fn size(self) -> (u32, u64) {
        match self {
            Self::Freeze => (5_000, 1),
            Self::Pinned => (2_000, 1),
            Self::Network => (20, network::round()),
            Self::States => (100, states::KINDS),
            Self::Slow => (500, 2),
            Self::Secrets => (50, vault::KINDS),
            Self::Wire => (50, wire::KINDS),
            Self::Names => (20, names::KINDS),
            Self::Certificates => (50, certificates::KINDS),
            Self::Grants => (20, grants::round()),
            Self::Memory => (20, memory::KINDS),
            Self::Tenants | Self::Endurance => (1_000_000, 1),
            Self::Events | Self::MaterializedCounts => (100_000, 1),
        }
    }

    fn freezes(self) -> bool {
        matches!(self, Self::Freeze | Self::Pinned)
    }

    async fn run(self, harness: &Harness, count: u64, seed: u64) -> Result<Vec<FaultReport>> {
        Ok(match self {
            Self::Freeze => vec![freezing::run(harness, count, false).await?],
            Self::Pinned => vec![freezing::run(harness, count, true).await?],
            Self::Network => network::run(harness, count).await?,
            Self::States => states::run(harness, count).await?,
            Self::Slow => slow::run(harness, count).await?,
            Self::Secrets => vault::run(harness, count).await?,
            Self::Wire => wire::run(harness, count).await?,
            Self::Names => names::run(harness, count).await?,
            Self::Certificates => certificates::run(harness, count).await?,
            Self::Grants => grants::run(harness, count).await?,
            Self::Memory => memory::run(harness, count).await?,
            Self::Tenants => vec![tenants::run(harness, count, seed).await?],
            Self::Events => vec![events::run(harness, count, seed).await?],
            Self::MaterializedCounts => vec![materialized_counts::run(&harness.bar, count, seed).await?],
            Self::Endurance => vec![endurance::run(harness, count).await?],
        })
    }
}

fn scale(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|scale| (0.001..=100.0).contains(scale))
        .ok_or_else(|| "it must be 0.001 to 100".to_owned())
}

/// Runs the parts in order and prints the results of each; fails if anything was lost.
pub async fn soak(options: SoakOptions) -> Result<()> {
    // 32 bits distinguish runs and are short enough to copy.
    let seed = options.seed.unwrap_or_else(|| fastrand::u32(..).into());
    let begin = Instant::now();
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => build(true).await?,
    };
    Steps::Error.done(begin, "build", &binary.display().to_string());
    let commit = commit();
    out(heading(options.markdown));
    let mut lost = 0;
    for part in Part::value_variants() {
        if !options.only.is_empty() && !options.only.contains(part) {
            continue;
        }
        if options.concurrency > 1 && part.freezes() {
            ensure!(!options.only.contains(part), "Managed Instances do not freeze: leave out --concurrency");
            continue;
        }
        let begin = Instant::now();
        let (count, steps) = part.size();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a scale is positive and small")]
        let count = (f64::from(count) * options.scale).ceil() as u64;
        let name = part.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let replay = options.replay(&name, seed);
        let bar = ProgressBar::new(count * steps).with_message(name.clone());
        bar.set_style(ProgressStyle::with_template("{msg:9} {wide_bar} {human_pos} of {human_len}, {eta} left")?);
        let harness = Harness { binary: binary.clone(), bar, concurrency: options.concurrency.into() };
        let reports = part.run(&harness, count, seed).await;
        harness.bar.finish_and_clear();
        let mut reports = reports.with_context(|| format!("{name} cannot continue; to run it again: {replay}"))?;
        for report in &mut reports {
            report.remark(&format!("seed {seed}, commit {commit}"));
            out(row(report, options.markdown));
            lost += report.lost;
        }
        if reports.iter().any(|report| report.lost > 0) {
            let again = format!("    to run {name} again:\n    {replay}");
            if options.markdown { Steps::Error.say(&again) } else { out(again) }
        }
        Steps::Error.done(begin, &name, "done");
    }
    ensure!(lost == 0, "{lost} lost");
    Ok(())
}

fn heading(markdown: bool) -> String {
    if markdown {
        "| fault | tried | lost | remarks |\n| --- | ---: | ---: | --- |".to_owned()
    } else {
        format!("\n{:<60} {:>10} {:>8}", "fault", "tried", "lost")
    }
}

/// Formats a row of the table: in Markdown, or with its figures on one line and its remarks below.
fn row(report: &FaultReport, markdown: bool) -> String {
    if markdown {
        return report.to_string();
    }
    format!("{:<60} {:>10} {:>8}\n{}", report.fault, report.tried, report.lost, wrapped(&report.remarks, 4))
}
