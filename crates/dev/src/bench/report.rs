//! The report: printed, and written as `latest.md`, `latest.json` and plots.

use std::{fs, path::PathBuf, time::Instant};

use anyhow::Result;
use serde::Serialize;
use testkit::{
    repository, target_folder,
    terminal::{out, wrapped},
};

use super::{
    BenchOptions,
    candidate::Candidate,
    context::BenchContext,
    figures, goals,
    machine::{self, Circumstances, Machine},
};
use crate::{
    measure::{goal::Goal, table::Table},
    steps::Steps,
};

pub struct Report {
    machine: Machine,
    command: String,
    folder: PathBuf,
}

#[derive(Serialize)]
struct Results<'a> {
    circumstances: &'a Circumstances,
    goals: &'a [Goal],
    table: &'a Table,
}

impl Report {
    pub fn begin(options: &BenchOptions) -> Result<Self> {
        let is_whole = options.only.is_empty() && options.scale >= 1.0;
        let folder = match &options.results {
            Some(folder) => folder.clone(),
            None if is_whole => repository().join("crates/dev/bench/results"),
            // A partial run never replaces the results that the README shows.
            None => target_folder()?.join("dev/bench/results"),
        };
        Ok(Self { machine: Machine::now(), command: machine::command(options), folder })
    }

    pub async fn finish(self, bench: &BenchContext, table: Table) -> Result<()> {
        let begin = Instant::now();
        let circumstances = Circumstances::of(self.machine, self.command, bench).await?;
        let goals = goals::goals(bench, &table);
        let plots = figures::plots(&table);
        let text = text(&circumstances, &goals, &table, &plots);
        let results = Results { circumstances: &circumstances, goals: &goals, table: &table };
        fs::create_dir_all(&self.folder)?;
        fs::write(self.folder.join("latest.md"), &text)?;
        fs::write(self.folder.join("latest.json"), serde_json::to_string_pretty(&results)? + "\n")?;
        for (name, plot) in &plots {
            fs::write(self.folder.join(name), plot)?;
        }
        out(wrapped(&circumstances.text(), 0));
        out(format_args!("\nGoals\n{}", goals.iter().map(Goal::text).collect::<Vec<_>>().join("\n")));
        out(format_args!("{}\n", table.text()));
        Steps::Error.done(begin, "results", &format!("also in {}", self.folder.join("latest.md").display()));
        Ok(())
    }
}

fn text(circumstances: &Circumstances, goals: &[Goal], table: &Table, plots: &[(&str, String)]) -> String {
    let candidates =
        Candidate::ALL.map(|candidate| format!("- **{}**: {}\n", candidate.name(), candidate.description()));
    let candidates = candidates.concat();
    let plots = plots.iter().map(|(name, _)| format!("![{}]({name})\n", name.trim_end_matches(".svg")));
    let plots = plots.collect::<Vec<_>>().concat();
    let goals = Goal::table(goals);
    let circumstances = circumstances.text();
    format!(
        "# Last results of `cargo dev bench`\n\n{circumstances}\n\
         All candidates alternate within one run, one request at a time, through the same Runtime API; PostgreSQL with TLS \
         and SCRAM on loopback. Figures are medians, with the ratio to ours in brackets. latest.json also has the \
         quantiles and the CPU time of each process.\n\n\
         ## Goals\n\n{goals}\n## Figures\n\n{table}\n## Candidates\n\n{candidates}\n## Plots\n\n{plots}"
    )
}
