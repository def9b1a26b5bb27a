//! Measures requests to processes that have served requests before.

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    Part,
    candidate::Candidate,
    context::BenchContext,
    data::{LARGE, MIDDLE, SMALL, widget},
    measured_request::MeasuredRequest,
    race::{Entrant, race},
    runner::Runner,
};
use crate::measure::{count, table::Row};

const LIMITS: [u32; 4] = [1, 20, 50, 100];
const OFFSETS: [u32; 4] = [0, 1_000, 10_000, 100_000];

/// Returns the filters; the names of those with a date begin with `from_date`. One day has a 730th of the sessions, and
/// 600 days have most of them.
pub fn bodies(account: u32) -> [(&'static str, Value); 12] {
    let (most, least) = (widget(account, 0), widget(account, 9));
    let (day, most_days) = ("2026-10-31", "2025-03-11");
    [
        ("none", json!({})),
        ("status active", json!({ "status": "active" })),
        ("status closed", json!({ "status": "closed" })),
        ("widget, 2/5 of all", json!({ "widget_id": most })),
        ("widget, 1/1,000 of all", json!({ "widget_id": least })),
        ("widget 2/5, active", json!({ "widget_id": most, "status": "active" })),
        ("widget 1/1,000, closed", json!({ "widget_id": least, "status": "closed" })),
        ("from_date, 1 day", json!({ "from_date": day })),
        ("from_date, 600 days", json!({ "from_date": most_days })),
        ("from_date 600 days, closed", json!({ "from_date": most_days, "status": "closed" })),
        ("from_date 600 days, widget 2/5", json!({ "from_date": most_days, "widget_id": most })),
        (
            "from_date 600 days, widget 2/5, closed",
            json!({ "from_date": most_days, "widget_id": most, "status": "closed" }),
        ),
    ]
}

struct Case {
    name: String,
    account: u32,
    body: Value,
}

pub fn filter_case(bench: &BenchContext, filter: &str, account: u32) -> String {
    format!("{filter}; {} sessions", count(bench.services.sizes.of(account)))
}

pub fn offset(bench: &BenchContext, full: u32) -> u32 {
    // At a smaller scale, the account has fewer sessions.
    full.min(bench.services.sizes.large - 200)
}

pub fn account_case(bench: &BenchContext, account: u32) -> String {
    format!("{} sessions", count(bench.services.sizes.of(account)))
}

pub async fn pages(bench: &BenchContext) -> Result<Vec<Row>> {
    let case = |limit| Case { name: format!("page of {limit}"), account: SMALL, body: json!({ "limit": limit }) };
    let runners = bench.runners(is_distinct).await?;
    together(bench, Part::Pages, &runners, LIMITS.map(case).into(), 400).await
}

pub async fn accounts(bench: &BenchContext) -> Result<Vec<Row>> {
    let case = |account| Case { name: account_case(bench, account), account, body: json!({ "limit": 50 }) };
    let runners = bench.runners(reads).await?;
    together(bench, Part::Accounts, &runners, [SMALL, MIDDLE, LARGE].map(case).into(), 200).await
}

pub async fn offsets(bench: &BenchContext) -> Result<Vec<Row>> {
    let mut offsets = OFFSETS.map(|full| offset(bench, full)).to_vec();
    offsets.dedup();
    let case =
        |offset| Case { name: offset_case(offset), account: LARGE, body: json!({ "limit": 50, "offset": offset }) };
    let runners = bench.runners(reads).await?;
    together(bench, Part::Offsets, &runners, offsets.into_iter().map(case).collect(), 100).await
}

pub fn offset_case(offset: u32) -> String {
    format!("offset {}", count(offset))
}

/// Leaves out the bundle: once a program has started, its number of files does not matter.
fn is_distinct(candidate: Candidate) -> bool {
    candidate != Candidate::Bundle
}

fn reads(candidate: Candidate) -> bool {
    is_distinct(candidate) && candidate != Candidate::Empty
}

pub async fn filters(bench: &BenchContext) -> Result<Vec<Row>> {
    let runners = bench.runners(reads).await?;
    let mut rows = Vec::new();
    for place in 0..bodies(SMALL).len() {
        let cases = [SMALL, LARGE].map(|account| {
            let (filter, mut body) = bodies(account)[place].clone();
            body["limit"] = 50.into();
            Case { name: filter_case(bench, filter, account), account, body }
        });
        rows.extend(together(bench, Part::Filters, &runners, cases.into(), 60).await?);
    }
    Ok(rows)
}

/// Measures every candidate on all these cases, alternately, because they are compared with each other.
async fn together(
    bench: &BenchContext,
    part: Part,
    runners: &[(Candidate, Runner)],
    cases: Vec<Case>,
    rounds: u32,
) -> Result<Vec<Row>> {
    let (mut rows, mut entrants) = (Vec::new(), Vec::new());
    for (row, case) in cases.into_iter().enumerate() {
        for (candidate, runner) in runners {
            let request = MeasuredRequest::new(case.account, &case.body)?;
            entrants.push(Entrant { candidate: *candidate, runner, request, row });
        }
        rows.push(Row::new(part.title(), case.name, "ms"));
    }
    race(bench, &entrants, bench.times(rounds), &mut rows).await?;
    Ok(rows)
}
