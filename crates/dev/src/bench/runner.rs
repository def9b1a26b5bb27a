//! A running candidate.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::{Function, Outcome, process};
use tokio_postgres::Client;

use super::{
    candidate::Candidate,
    context::BenchContext,
    measured_request::{MeasuredRequest, StatementKind},
};

pub enum Runner {
    Function(Box<Function>),
    Statement(Client, StatementKind),
}

pub struct TimedResponse {
    pub time: Duration,
    /// `None` for the empty function.
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

    /// Sends the request once and fails unless the response is a page.
    pub async fn send(&self, request: &MeasuredRequest) -> Result<TimedResponse> {
        match self {
            Self::Function(function) => {
                let event = request.event.clone();
                let begin = Instant::now();
                let outcome = function.invoke(event).await?;
                let time = begin.elapsed();
                let body = body(outcome)?;
                Ok(TimedResponse { time, total: serde_json::from_str::<Value>(&body)?["total"].as_i64() })
            }
            Self::Statement(client, kind) => {
                let statement = request.statement(*kind);
                let begin = Instant::now();
                let total = request.execute(client, &statement).await?;
                Ok(TimedResponse { time: begin.elapsed(), total: Some(total) })
            }
        }
    }

    /// Returns the CPU time of the candidate's process; a statement has none of its own.
    pub fn cpu(&self) -> Result<Option<Duration>> {
        let Self::Function(function) = self else { return Ok(None) };
        function.pid().map(process::cpu).transpose()
    }
}

/// Returns the body of a response with status 200.
pub fn body(outcome: Outcome) -> Result<String> {
    let response = outcome.response()?;
    ensure!(response["statusCode"] == 200, "status {}", response["statusCode"]);
    Ok(response["body"].as_str().context("no body")?.to_owned())
}
