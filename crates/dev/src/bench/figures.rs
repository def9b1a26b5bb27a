//! Plots of the table.

use super::{Part, candidate::Candidate, cold, footprint};
use crate::measure::{
    plot::{Bars, Dots, Lines, Series},
    table::{Row, Table},
};

/// Returns every plot that the table has figures for, with its file name.
pub fn plots(table: &Table) -> Vec<(&'static str, String)> {
    let lines = |part: Part, title: &str, shorten: fn(&str) -> String| {
        let rows: Vec<&Row> = table.part(part.title()).collect();
        let lines = Lines {
            title: title.to_owned(),
            unit: "ms",
            points: rows.iter().map(|row| shorten(&row.case)).collect(),
            series: series(&rows),
        };
        (rows.len() > 1).then(|| lines.svg())
    };
    let last_word = |case: &str| case.rsplit(' ').next().unwrap_or_default().to_owned();
    let first_word = |case: &str| case.split(' ').next().unwrap_or_default().to_owned();
    let plots = [
        (
            "cold-start.svg",
            bars(table, Part::Cold, cold::FIRST_RESPONSE, "Cold start: start of the process to its first response"),
        ),
        ("page-size.svg", lines(Part::Pages, "Request time by page size, account of 1,000 sessions", last_word)),
        (
            "account-size.svg",
            lines(Part::Accounts, "Page of 50 with its total, by sessions of the account", first_word),
        ),
        ("offset.svg", lines(Part::Offsets, "Page of 50 with its total, by offset, largest account", last_word)),
        ("filter.svg", filters(table)),
        ("memory.svg", memory(table)),
        ("package.svg", bars(table, Part::Package, footprint::UNPACKED, "Deployed package, unpacked")),
    ];
    plots.into_iter().filter_map(|(name, plot)| Some((name, plot?))).collect()
}

fn series(rows: &[&Row]) -> Vec<Series> {
    let of = |candidate: &Candidate| {
        let values: Vec<Option<f64>> =
            rows.iter().map(|row| row.cells.get(candidate.name()).map(|cell| cell.value)).collect();
        let some = values.iter().any(Option::is_some);
        some.then(|| Series { name: candidate.name(), colour: candidate.colour(), values })
    };
    Candidate::ALL.iter().filter_map(of).collect()
}

fn bars(table: &Table, part: Part, case: &str, title: &str) -> Option<String> {
    let row = table.row(part.title(), case)?;
    Some(Bars { title: title.to_owned(), unit: row.unit, series: series(&[row]) }.svg())
}

fn memory(table: &Table) -> Option<String> {
    let row = table.part(Part::Memory.title()).next()?;
    bars(table, Part::Memory, &row.case, &format!("Memory: {}", row.case))
}

/// Plots only the rows of the large account: every second one.
fn filters(table: &Table) -> Option<String> {
    let rows: Vec<&Row> = table.part(Part::Filters.title()).skip(1).step_by(2).collect();
    let points: Vec<String> =
        rows.iter().map(|row| row.case.split(';').next().unwrap_or_default().to_owned()).collect();
    let title = "Page of 50 with its total, by filter, largest account".to_owned();
    (!rows.is_empty()).then(|| Dots { title, unit: "ms", points, series: series(&rows) }.svg())
}
