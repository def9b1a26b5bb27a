//! The services and candidates that the parts of the bench share.

use std::{collections::BTreeMap, path::PathBuf, time::Instant};

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use testkit::{Function, FunctionOptions, repository};

use super::{
    candidate::Candidate,
    data,
    measured_request::MeasuredRequest,
    peers::{self, Program},
    runner::{self, Runner},
    services::BenchServices,
};
use crate::steps::Steps;

/// Log lines that a function keeps, at most.
const LOG_MAX: usize = 1_000;

pub struct BenchContext {
    pub services: BenchServices,
    pub scale: f64,
    pub bar: ProgressBar,
    /// Candidates that cannot take part, and why.
    pub missing: BTreeMap<Candidate, String>,
    programs: BTreeMap<Candidate, Program>,
}

impl BenchContext {
    /// Starts the services, installs the peers, and requests one page of each, which must equal ours.
    pub async fn start(binary: PathBuf, scale: f64, bar: ProgressBar) -> Result<Self> {
        let services = BenchServices::start(scale).await?;
        let mut bench = Self { services, scale, bar, missing: BTreeMap::new(), programs: BTreeMap::new() };
        bench.programs.insert(Candidate::Ours, Program::binary(binary.clone())?);
        bench.programs.insert(Candidate::Materialized, Program::binary(binary)?);
        bench.add(Candidate::Node, peers::node().await);
        bench.add(Candidate::Bundle, peers::bundle().await);
        bench.add(Candidate::Python, peers::python().await);
        bench.add(Candidate::Empty, peers::empty().await);
        let begin = Instant::now();
        let expected = bench.page(Candidate::Ours).await?;
        for candidate in bench.present(|candidate| candidate.is_function() && candidate != Candidate::Empty) {
            let result = bench.page(candidate).await.and_then(|page| {
                ensure!(page == expected, "its page differs from ours");
                Ok(())
            });
            if let Err(error) = result {
                bench.missing.insert(candidate, reason(&error));
            }
        }
        let missing: Vec<_> =
            bench.missing.iter().map(|(candidate, why)| format!("no {}: {why}", candidate.name())).collect();
        Steps::Error.done(
            begin,
            "candidates",
            if missing.is_empty() { "all are available".to_owned() } else { missing.join("\n") }.as_str(),
        );
        Ok(bench)
    }

    fn add(&mut self, candidate: Candidate, program: Result<Program>) {
        match program {
            Ok(program) => drop(self.programs.insert(candidate, program)),
            Err(error) => drop(self.missing.insert(candidate, reason(&error))),
        }
    }

    /// Returns the candidates of a kind that can take part.
    pub fn present(&self, of_kind: impl Fn(Candidate) -> bool) -> Vec<Candidate> {
        let all = Candidate::ALL.into_iter();
        all.filter(|candidate| of_kind(*candidate) && !self.missing.contains_key(candidate)).collect()
    }

    pub fn program(&self, candidate: Candidate) -> Result<&Program> {
        self.programs.get(&candidate).context("the candidate is not a program")
    }

    pub fn options(&self, candidate: Candidate) -> Result<FunctionOptions> {
        let program = self.program(candidate)?;
        let mut options = FunctionOptions::new(&program.binary, &[]);
        options.arguments.clone_from(&program.arguments);
        options.env = self.services.variables(candidate.database());
        options.env.extend(program.variables.iter().cloned());
        options.log_max = LOG_MAX;
        Ok(options)
    }

    /// Starts the candidates of a kind that can take part.
    pub async fn runners(&self, of_kind: impl Fn(Candidate) -> bool) -> Result<Vec<(Candidate, Runner)>> {
        let mut runners = Vec::new();
        for candidate in self.present(of_kind) {
            runners.push((candidate, Runner::start(self, candidate).await?));
        }
        Ok(runners)
    }

    /// Scales a number of repetitions, to at least 1.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a scale is at most 1")]
    pub fn times(&self, full: u32) -> u32 {
        ((f64::from(full) * self.scale).ceil() as u32).max(1)
    }

    /// Returns the candidate's response to a request that uses every filter but the date.
    async fn page(&self, candidate: Candidate) -> Result<Value> {
        let body = json!({ "limit": 20, "offset": 3, "status": "closed", "widget_id": data::widget(data::SMALL, 0) });
        let request = MeasuredRequest::new(data::SMALL, &body)?;
        let function = Function::start(self.options(candidate)?).await?;
        Ok(serde_json::from_str(&runner::body(function.invoke(request.event).await?)?)?)
    }
}

/// Returns the error's first and last line, without the path of the checkout: a program that exits gives the reason in
/// its last line.
pub fn reason(error: &anyhow::Error) -> String {
    let text = format!("{error:#}").replace(&*repository().to_string_lossy(), ".");
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    lines.next_back().map_or(first.to_owned(), |last| format!("{first} … {last}"))
}
