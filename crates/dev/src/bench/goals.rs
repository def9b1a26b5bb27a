//! The goals that the figures must meet.

use super::{
    Part,
    candidate::Candidate::{Bundle, Materialized, Node, Ours},
    cold,
    context::BenchContext,
    data::{LARGE, SMALL},
    footprint, warm, writes,
};
use crate::measure::{count, goal::Goal, table::Table};

/// Times that a page with its total may take on the large account, compared with the small one.
const BY_ACCOUNT: f64 = 1.5;
const BY_ACCOUNT_FROM_DATE: f64 = 5.0;
const BY_OFFSET: f64 = 10.0;
/// Share of the Node function's time from its start to its first response.
const OF_NODE: f64 = 0.1;
const PACKAGE_MB: f64 = 8.0;
const RESIDENT_MB: f64 = 24.0;
/// In percent.
const WRITES_LOST: f64 = 20.0;

pub fn goals(bench: &BenchContext, table: &Table) -> Vec<Goal> {
    let mut goals = vec![
        Goal { measured: by_filter(bench, table, false), ..by_account(bench, "without from_date", BY_ACCOUNT) },
        Goal { measured: by_filter(bench, table, true), ..by_account(bench, "with from_date", BY_ACCOUNT_FROM_DATE) },
        by_offset(bench, table),
    ];
    for node in [Node, Bundle] {
        let value = |candidate: super::candidate::Candidate| {
            table.value(Part::Cold.title(), cold::FIRST_RESPONSE, candidate.name())
        };
        goals.push(Goal {
            what: format!("start to the first response against {}", node.name()),
            bound: OF_NODE,
            unit: " times",
            measured: value(Ours).and_then(|ours| Ok(ours / value(node)?)),
        });
    }
    let of_ours = |what: &str, bound, part: Part, case: &str| Goal {
        what: what.to_owned(),
        bound,
        unit: " MB",
        measured: table.value(part.title(), case, Ours.name()),
    };
    let resident = footprint::resident_case(footprint::long(bench));
    goals.push(of_ours("package, unpacked", PACKAGE_MB, Part::Package, footprint::UNPACKED));
    goals.push(of_ours(&resident, RESIDENT_MB, Part::Memory, &resident));
    goals.extend(writes::CASES.map(|(case, _)| lost_writes(table, case)));
    goals
}

fn by_account(bench: &BenchContext, which: &str, bound: f64) -> Goal {
    let [large, small] = [LARGE, SMALL].map(|account| count(bench.services.sizes.of(account)));
    let what = format!(
        "page of 50 with its total, {large} sessions against {small}, materialized counts, worst filter {which}"
    );
    Goal { what, bound, unit: " times", measured: Err(String::new()) }
}

/// Returns the worst ratio of the two accounts.
fn by_filter(bench: &BenchContext, table: &Table, has_date: bool) -> Result<f64, String> {
    let filters = warm::bodies(SMALL).map(|(filter, _)| filter);
    let value = |filter: &str, account| {
        table.value(Part::Filters.title(), &warm::filter_case(bench, filter, account), Materialized.name())
    };
    let ratios = filters.iter().filter(|filter| filter.contains("from_date") == has_date);
    let ratios = ratios.map(|filter| Ok(value(filter, LARGE)? / value(filter, SMALL)?));
    ratios.collect::<Result<Vec<f64>, String>>().map(|ratios| ratios.into_iter().fold(0.0, f64::max))
}

fn by_offset(bench: &BenchContext, table: &Table) -> Goal {
    let deep = warm::offset(bench, 100_000);
    let value = |offset| table.value(Part::Offsets.title(), &warm::offset_case(offset), Materialized.name());
    Goal {
        what: format!("page at offset {} against the first, materialized counts", count(deep)),
        bound: BY_OFFSET,
        unit: " times",
        measured: value(deep).and_then(|deep| Ok(deep / value(0)?)),
    }
}

fn lost_writes(table: &Table, case: &str) -> Goal {
    let value = |column: &str| table.value(Part::Writes.title(), case, column);
    let lost = value(Ours.name()).and_then(|without| Ok((1.0 - value(Materialized.name())? / without) * 100.0));
    Goal {
        what: format!("{case} lost to the materialized counts, 8 clients"),
        bound: WRITES_LOST,
        unit: " %",
        measured: lost,
    }
}
