//! Resident memory and package size of the candidates. A megabyte is a million bytes.

use anyhow::{Context, Result};
use serde_json::json;
use testkit::{Function, process};

use super::{Part, candidate::Candidate, context::BenchContext, data, measured_request::MeasuredRequest, runner::body};
use crate::measure::{
    count,
    table::{Cell, Row},
};

/// Requests to every candidate, and those to our binary, which has a goal.
const SHORT: u32 = 10_000;
const LONG: u32 = 100_000;

const MEGABYTE: f64 = 1e6;

/// Names the case of memory after this many requests.
pub fn resident_case(requests: u32) -> String {
    format!("resident after {} requests", count(requests))
}

pub fn long(bench: &BenchContext) -> u32 {
    bench.times(LONG)
}

pub async fn memory(bench: &BenchContext) -> Result<Vec<Row>> {
    let (short, long) = (bench.times(SHORT), long(bench));
    let mut rows = [resident_case(short), "peak until then".to_owned(), resident_case(long)]
        .map(|case| Row::new(Part::Memory.title(), case, "MB"));
    let request = MeasuredRequest::new(data::SMALL, &json!({ "limit": 50 }))?;
    let candidates = bench.present(Candidate::is_function);
    bench.bar.set_length(candidates.len() as u64 * u64::from(short) + u64::from(long - short));
    for candidate in candidates {
        let function = Function::start(bench.options(candidate)?).await?;
        let pid = function.pid().context("it runs")?;
        let requests = if candidate == Candidate::Ours { long } else { short };
        for number in 1..=requests {
            body(function.invoke(request.event.clone()).await?)?;
            bench.bar.inc(1);
            let name = candidate.name();
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

pub fn package(bench: &BenchContext) -> Result<Vec<Row>> {
    let mut row = Row::new(Part::Package.title(), UNPACKED, "MB");
    for candidate in bench.present(|candidate| candidate.is_function() && candidate != Candidate::Materialized) {
        row.cells.insert(candidate.name(), megabytes(bench.program(candidate)?.size));
    }
    Ok(vec![row])
}

#[expect(clippy::cast_precision_loss, reason = "a figure of three digits")]
fn megabytes(bytes: u64) -> Cell {
    Cell::once(bytes as f64 / MEGABYTE)
}
