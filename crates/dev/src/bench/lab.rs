//! Everything that a part of the bench needs.

use std::{collections::BTreeMap, path::PathBuf, time::Instant};

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::{
    contender::Contender,
    data,
    peers::{self, Program},
    question::Question,
    runner::{self, Runner},
    site::Site,
};
use crate::{
    steps::Steps,
    support::function::{Function, FunctionOptions},
};

/// More of a function's log is of no use here.
const LOG_MAX: usize = 1_000;

pub struct Lab {
    pub site: Site,
    pub scale: f64,
    pub bar: ProgressBar,
    /// Who cannot take part, and why.
    pub missing: BTreeMap<Contender, String>,
    programs: BTreeMap<Contender, Program>,
}

impl Lab {
    /// Starts what everyone needs, installs the peers, and asks each for one page, which must be the same as ours.
    pub async fn start(binary: PathBuf, scale: f64, bar: ProgressBar) -> Result<Self> {
        let site = Site::start(scale).await?;
        let mut lab = Self { site, scale, bar, missing: BTreeMap::new(), programs: BTreeMap::new() };
        lab.programs.insert(Contender::Ours, Program::binary(binary.clone())?);
        lab.programs.insert(Contender::Kept, Program::binary(binary)?);
        lab.add(Contender::Node, peers::node().await);
        lab.add(Contender::Bundle, peers::bundle().await);
        lab.add(Contender::Python, peers::python().await);
        lab.add(Contender::Empty, peers::empty().await);
        let begin = Instant::now();
        let expected = lab.page(Contender::Ours).await?;
        for contender in lab.present(|contender| contender.is_function() && contender != Contender::Empty) {
            let result = lab.page(contender).await.and_then(|page| {
                ensure!(page == expected, "its page is not ours");
                Ok(())
            });
            if let Err(error) = result {
                lab.missing.insert(contender, reason(&error));
            }
        }
        let missing: Vec<_> =
            lab.missing.iter().map(|(contender, why)| format!("no {}: {why}", contender.name())).collect();
        Steps::Error.done(
            begin,
            "contenders",
            if missing.is_empty() { "all are here".to_owned() } else { missing.join("\n") }.as_str(),
        );
        Ok(lab)
    }

    fn add(&mut self, contender: Contender, program: Result<Program>) {
        match program {
            Ok(program) => drop(self.programs.insert(contender, program)),
            Err(error) => drop(self.missing.insert(contender, reason(&error))),
        }
    }

    /// Those of a kind who can take part.
    pub fn present(&self, of_kind: impl Fn(Contender) -> bool) -> Vec<Contender> {
        let all = Contender::ALL.into_iter();
        all.filter(|contender| of_kind(*contender) && !self.missing.contains_key(contender)).collect()
    }

    pub fn program(&self, contender: Contender) -> Result<&Program> {
        self.programs.get(&contender).context("it is no program")
    }

    /// How the contender's function is started.
    pub fn options(&self, contender: Contender) -> Result<FunctionOptions> {
        let program = self.program(contender)?;
        let mut options = FunctionOptions::new(&program.binary, &[]);
        options.arguments.clone_from(&program.arguments);
        options.env = self.site.variables(contender.database());
        options.env.extend(program.variables.iter().cloned());
        options.log_max = LOG_MAX;
        Ok(options)
    }

    /// The contenders at work.
    pub async fn runners(&self, of_kind: impl Fn(Contender) -> bool) -> Result<Vec<(Contender, Runner)>> {
        let mut runners = Vec::new();
        for contender in self.present(of_kind) {
            runners.push((contender, Runner::start(self, contender).await?));
        }
        Ok(runners)
    }

    /// So many at full scale; never none.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a scale is at most 1")]
    pub fn times(&self, full: u32) -> u32 {
        ((f64::from(full) * self.scale).ceil() as u32).max(1)
    }

    /// A contender's answer to a request that uses every filter but the date.
    async fn page(&self, contender: Contender) -> Result<Value> {
        let body = json!({ "limit": 20, "offset": 3, "status": "closed", "widget_id": data::widget(data::SMALL, 0) });
        let question = Question::new(data::SMALL, &body)?;
        let function = Function::start(self.options(contender)?).await?;
        Ok(serde_json::from_str(&runner::body(function.invoke(question.event).await?)?)?)
    }
}

/// An error in one line, without where the checkout lies: a program that ends says in its last line why.
pub fn reason(error: &anyhow::Error) -> String {
    let text = format!("{error:#}").replace(env!("CARGO_MANIFEST_DIR"), ".");
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    lines.next_back().map_or(first.to_owned(), |last| format!("{first} … {last}"))
}
