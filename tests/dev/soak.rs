//! `cargo dev soak`: what the tests try a few times, tried as often as it takes to trust the figures.

use std::{path::PathBuf, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    build::build,
    steps::Steps,
    support::faults::{
        Lab, Tally, certificates, endurance, events, freezing, grants, kept, memory, names, network, slow, states,
        tenants, vault, wire,
    },
};

#[derive(clap::Args)]
#[group(skip)]
pub struct Options {
    /// Run these parts alone
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Try everything so many times as often as usual: 0.01 for a look
    #[arg(long, default_value_t = 1.0, value_parser = scale)]
    scale: f64,
    /// Repeat the events and the writers of a run
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Use this binary instead of building the function optimised
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The environment frozen, its connection killed, thawed
    Freeze,
    /// The same on one core
    Pinned,
    /// The network: every phase, every fault
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
    /// Huge texts under a limit of memory
    Memory,
    /// Malformed events
    Events,
    /// A thousand accounts, interleaved
    Tenants,
    /// Kept counts under random writers
    Kept,
    /// One environment, for long: memory and files
    Endurance,
}

impl Part {
    /// How often it is tried, and how many steps of the bar each time is.
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
            Self::Events | Self::Kept => (100_000, 1),
        }
    }

    async fn run(self, lab: &Lab, count: u64, seed: u64) -> Result<Vec<Tally>> {
        Ok(match self {
            Self::Freeze => vec![freezing::run(lab, count, false).await?],
            Self::Pinned => vec![freezing::run(lab, count, true).await?],
            Self::Network => network::run(lab, count).await?,
            Self::States => states::run(lab, count).await?,
            Self::Slow => slow::run(lab, count).await?,
            Self::Secrets => vault::run(lab, count).await?,
            Self::Wire => wire::run(lab, count).await?,
            Self::Names => names::run(lab, count).await?,
            Self::Certificates => certificates::run(lab, count).await?,
            Self::Grants => grants::run(lab, count).await?,
            Self::Memory => memory::run(lab, count).await?,
            Self::Tenants => vec![tenants::run(lab, count).await?],
            Self::Events => vec![events::run(lab, count, seed).await?],
            Self::Kept => vec![kept::run(&lab.bar, count, seed).await?],
            Self::Endurance => vec![endurance::run(lab, count).await?],
        })
    }
}

fn scale(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|scale| *scale > 0.0 && *scale <= 100.0).ok_or_else(|| "0.001 to 100".to_owned())
}

/// Runs the parts one after the other and prints the table. That anything was lost is an error.
pub async fn soak(options: Options) -> Result<()> {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    let begin = Instant::now();
    let binary = match options.binary {
        Some(binary) => binary,
        None => build(true).await?,
    };
    Steps::Error.done(begin, "build", &binary.display().to_string());
    let mut tallies = Vec::new();
    for part in Part::value_variants() {
        if !options.only.is_empty() && !options.only.contains(part) {
            continue;
        }
        let begin = Instant::now();
        let (count, steps) = part.size();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a scale is positive and small")]
        let count = (f64::from(count) * options.scale).ceil() as u64;
        let name = part.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let bar = ProgressBar::new(count * steps).with_message(name.clone());
        bar.set_style(ProgressStyle::with_template("{msg:9} {wide_bar} {human_pos} of {human_len}, {eta} left")?);
        let lab = Lab { binary: binary.clone(), bar };
        let result = part.run(&lab, count, seed).await.with_context(|| format!("{name}, seed {seed}"))?;
        lab.bar.finish_and_clear();
        Steps::Error.done(begin, &name, &result.iter().map(Tally::to_string).collect::<Vec<_>>().join("\n"));
        tallies.extend(result);
    }
    println!("| fault | tried | lost | remarks |\n| --- | ---: | ---: | --- |");
    for tally in &tallies {
        println!("{tally}");
    }
    let lost: u64 = tallies.iter().map(|tally| tally.lost).sum();
    ensure!(lost == 0, "{lost} lost");
    Ok(())
}
