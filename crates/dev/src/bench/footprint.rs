//! What a contender takes without doing anything: memory, and what is deployed. A megabyte is a million bytes.

use anyhow::{Context, Result};
use serde_json::json;

use super::{Part, contender::Contender, data, lab::Lab, question::Question, runner::body};
use crate::support::{
    function::Function,
    measure::{
        count, process,
        table::{Cell, Row},
    },
};

/// How many requests everyone answers, and how many the binary does for which there is a goal.
const SHORT: u32 = 10_000;
const LONG: u32 = 100_000;

const MEGABYTE: f64 = 1e6;

/// What is resident after so many requests is called.
pub fn resident_case(requests: u32) -> String {
    format!("resident after {} requests", count(requests))
}

pub fn long(lab: &Lab) -> u32 {
    lab.times(LONG)
}

pub async fn memory(lab: &Lab) -> Result<Vec<Row>> {
    let (short, long) = (lab.times(SHORT), long(lab));
    let mut rows = [resident_case(short), "the most until then".to_owned(), resident_case(long)]
        .map(|case| Row::new(Part::Memory.title(), case, "MB"));
    let question = Question::new(data::SMALL, &json!({ "limit": 50 }))?;
    let contenders = lab.present(Contender::is_function);
    lab.bar.set_length(contenders.len() as u64 * u64::from(short) + u64::from(long - short));
    for contender in contenders {
        let function = Function::start(lab.options(contender)?).await?;
        let pid = function.pid().context("it runs")?;
        let requests = if contender == Contender::Ours { long } else { short };
        for number in 1..=requests {
            body(function.invoke(question.event.clone()).await?)?;
            lab.bar.inc(1);
            let name = contender.name();
            if number == short {
                rows[0].cells.insert(name, megabytes(process::resident(pid)? * 1_024));
                rows[1].cells.insert(name, megabytes(process::peak(pid)? * 1_024));
            }
            if number == long {
                rows[2].cells.insert(name, megabytes(process::resident(pid)? * 1_024));
            }
        }
    }
    Ok(rows.into())
}

pub const UNPACKED: &str = "unpacked";

pub fn package(lab: &Lab) -> Result<Vec<Row>> {
    let mut row = Row::new(Part::Package.title(), UNPACKED, "MB");
    for contender in lab.present(|contender| contender.is_function() && contender != Contender::Kept) {
        row.cells.insert(contender.name(), megabytes(lab.program(contender)?.size));
    }
    Ok(vec![row])
}

#[expect(clippy::cast_precision_loss, reason = "a figure of three digits")]
fn megabytes(bytes: u64) -> Cell {
    Cell::once(bytes as f64 / MEGABYTE)
}
