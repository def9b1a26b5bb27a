//! A contender at work.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio_postgres::Client;

use super::{
    contender::Contender,
    lab::Lab,
    question::{Form, Question},
};
use crate::support::{function::Function, measure::process, runtime_api::Outcome};

pub enum Runner {
    Function(Box<Function>),
    /// A connection of this program.
    Statement(Client, Form),
}

/// What one request came to.
pub struct Answer {
    pub time: Duration,
    /// Of all sessions that match; the empty function says nothing of it.
    pub total: Option<i64>,
}

impl Runner {
    pub async fn start(lab: &Lab, contender: Contender) -> Result<Self> {
        Ok(match contender {
            Contender::Postgrest => Self::Statement(lab.site.connect(contender.database()).await?, Form::Postgrest),
            Contender::Statement => Self::Statement(lab.site.connect(contender.database()).await?, Form::Ours),
            _ => Self::Function(Box::new(Function::start(lab.options(contender)?).await?)),
        })
    }

    /// Asks once, and sees to it that the answer is a page.
    pub async fn ask(&self, question: &Question) -> Result<Answer> {
        match self {
            Self::Function(function) => {
                let event = question.event.clone();
                let begin = Instant::now();
                let outcome = function.invoke(event).await?;
                let time = begin.elapsed();
                let body = body(outcome)?;
                Ok(Answer { time, total: serde_json::from_str::<Value>(&body)?["total"].as_i64() })
            }
            Self::Statement(client, form) => {
                let statement = question.statement(*form);
                let begin = Instant::now();
                let total = question.send(client, &statement).await?;
                Ok(Answer { time: begin.elapsed(), total: Some(total) })
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
