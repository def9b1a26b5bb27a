//! The machine and the circumstances of a run.

use std::fs;

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;

use super::{BenchOptions, Part, context::BenchContext, services::SETTINGS};
use crate::commit::{commit, output_of};
use clap::ValueEnum;
use testkit::database;

#[derive(Serialize)]
pub struct Machine {
    processor: String,
    cores: usize,
    memory: String,
    kernel: String,
    /// Load average of the last minute, before anything was started.
    load: String,
}

impl Machine {
    pub fn now() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let memory = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse::<u64>().unwrap_or_default();
        Self {
            processor: field("/proc/cpuinfo", "model name"),
            cores,
            memory: format!("{} GB", memory / 1_000_000),
            kernel: read("/proc/sys/kernel/osrelease"),
            load: load(),
        }
    }
}

#[derive(Serialize)]
pub struct Circumstances {
    machine: Machine,
    load_at_end: String,
    postgresql: String,
    settings: Vec<&'static str>,
    versions: Vec<String>,
    date: String,
    command: String,
    commit: String,
}

impl Circumstances {
    pub async fn of(machine: Machine, command: String, bench: &BenchContext) -> Result<Self> {
        let client = database::connect(&bench.services.server.url("postgres")).await?;
        let postgresql = client.query_typed("SHOW server_version", &[]).await?[0].get(0);
        let versions = [
            output_of("rustc", &["--version"]),
            format!("Node {}", output_of("node", &["--version"])),
            output_of("python3", &["--version"]),
        ];
        Ok(Self {
            machine,
            load_at_end: load(),
            postgresql,
            settings: SETTINGS.to_vec(),
            versions: versions.into(),
            date: Timestamp::now().to_string().split('T').next().unwrap_or_default().to_owned(),
            command,
            commit: commit(),
        })
    }

    /// Formats the circumstances in Markdown.
    pub fn text(&self) -> String {
        let Machine { processor, cores, memory, kernel, load } = &self.machine;
        format!(
            "`{}` on {}, commit {}. {processor}, {cores} cores, {memory}, Linux {kernel}; load {load} before and {} after. \
             PostgreSQL {} ({}). {}.\n",
            self.command,
            self.date,
            self.commit,
            self.load_at_end,
            self.postgresql,
            self.settings.join(", "),
            self.versions.join(", "),
        )
    }
}

/// Returns the command line without the paths of this machine.
pub fn command(options: &BenchOptions) -> String {
    let mut words = vec!["cargo dev bench".to_owned()];
    if !options.only.is_empty() {
        let name = |part: &Part| part.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        words.push(format!("--only {}", options.only.iter().map(name).collect::<Vec<_>>().join(",")));
    }
    if options.scale < 1.0 {
        words.push(format!("--scale {}", options.scale));
    }
    words.join(" ")
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn field(path: &str, name: &str) -> String {
    let text = read(path);
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(String::new(), |line| line.trim_start_matches([' ', '\t', ':']).to_owned())
}

fn load() -> String {
    read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()
}
