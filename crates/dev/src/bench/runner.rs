//! A candidate at work.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::{Function, Outcome, process};
use tokio_postgres::Client;

use super::{
    candidate::Candidate,
    context::BenchContext,
    question::{Question, StatementKind},
};

pub enum Runner {
    Function(Box<Function>),
    /// A connection of this program.
    Statement(Client, StatementKind),
}

/// What one request came to.
pub struct TimedAnswer {
    pub time: Duration,
    /// Of all sessions that match; the empty function says nothing of it.
    pub total: Option<i64>,
}

impl Runner {
    pub async fn start(bench: &BenchContext, candidate: Candidate) -> Result<Self> {
        Ok(match candidate {
            Candidate::Postgrest => {
                Self::Statement(bench.services.connect(candidate.database()).await?, StatementKind::Postgrest)
            }
            Candidate::Statement => {
                Self::Statement(bench.services.connect(candidate.database()).await?, StatementKind::Ours)
            }
            _ => Self::Function(Box::new(Function::start(bench.options(candidate)?).await?)),
        })
    }

    /// Asks once, and sees to it that the answer is a page.
    pub async fn ask(&self, question: &Question) -> Result<TimedAnswer> {
        match self {
            Self::Function(function) => {
                let event = question.event.clone();
                let begin = Instant::now();
                let outcome = function.invoke(event).await?;
                let time = begin.elapsed();
                let body = body(outcome)?;
                Ok(TimedAnswer { time, total: serde_json::from_str::<Value>(&body)?["total"].as_i64() })
            }
            Self::Statement(client, kind) => {
                let statement = question.statement(*kind);
                let begin = Instant::now();
                let total = question.send(client, &statement).await?;
                Ok(TimedAnswer { time: begin.elapsed(), total: Some(total) })
            }
        }
    }

    /// The time that its process has had a core; a statement has no process of its own.
    pub fn cpu(&self) -> Result<Option<Duration>> {
        let Self::Function(function) = self else { return Ok(None) };
        function.pid().map(process::cpu).transpose()
    }
}

/// The body of an answer with 200.
pub fn body(outcome: Outcome) -> Result<String> {
    let answer = outcome.response()?;
    ensure!(answer["statusCode"] == 200, "status {}", answer["statusCode"]);
    Ok(answer["body"].as_str().context("no body")?.to_owned())
}
