//! A table of figures: a row for each case, a column for each candidate, all compared with the first.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;
use testkit::terminal::wrapped;

use super::{number, sample::Sample};

/// A candidate's figure.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// In the row's unit; the median of several values.
    pub value: f64,
    pub p10: Option<f64>,
    pub p99: Option<f64>,
    pub count: usize,
    /// CPU time of the candidate's process for each value, in milliseconds.
    pub cpu: Option<f64>,
}

impl Cell {
    pub fn once(value: f64) -> Self {
        Self { value, p10: None, p99: None, count: 1, cpu: None }
    }

    /// Makes a figure of a sample; `None` if nothing was measured.
    pub fn of(sample: &Sample, cpu: Option<f64>) -> Option<Self> {
        let (p10, p99) = (sample.percentile(10), sample.percentile(99));
        Some(Self { value: sample.median()?, p10, p99, count: sample.count(), cpu })
    }
}

#[derive(Debug, Serialize)]
pub struct Row {
    pub part: &'static str,
    pub case: String,
    /// Follows a figure: `ms`, `MB`, `/s`.
    pub unit: &'static str,
    pub cells: BTreeMap<&'static str, Cell>,
    /// Candidates that took part and have no figure, and why.
    pub failed: BTreeMap<&'static str, String>,
}

impl Row {
    pub fn new(part: &'static str, case: impl Into<String>, unit: &'static str) -> Self {
        Self { part, case: case.into(), unit, cells: BTreeMap::new(), failed: BTreeMap::new() }
    }
}

#[derive(Debug, Serialize)]
pub struct Table {
    /// The candidates; the others are compared with the first.
    pub columns: Vec<&'static str>,
    /// Candidates that could not take part at all, and why.
    pub missing: BTreeMap<&'static str, String>,
    pub rows: Vec<Row>,
}

impl Table {
    pub fn row(&self, part: &str, case: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.part == part && row.case == case)
    }

    pub fn part<'a>(&'a self, part: &'a str) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().filter(move |row| row.part == part)
    }

    /// Returns a candidate's figure, or why it is missing.
    pub fn value(&self, part: &str, case: &str, column: &str) -> Result<f64, String> {
        let unmeasured = || format!("{part} was not measured");
        let row = self.row(part, case).ok_or_else(unmeasured)?;
        let reason = || row.failed.get(column).or(self.missing.get(column)).cloned().unwrap_or_else(unmeasured);
        row.cells.get(column).map(|cell| cell.value).ok_or_else(reason)
    }

    /// Formats the table for a terminal: the figures of each row below its name, and why any are missing.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        let mut part = "";
        for row in &self.rows {
            if row.part != part {
                part = row.part;
                lines.push(format!("\n{part}"));
            }
            lines.push(format!("  {}", row.case));
            let is_known = |column: &&&str| row.cells.contains_key(**column);
            let figures =
                self.columns.iter().filter(is_known).map(|column| format!("{column} {}", self.shown(row, column)));
            lines.push(wrapped(&figures.collect::<Vec<_>>().join(", "), 4));
            lines.extend(row.failed.iter().map(|(column, reason)| wrapped(&format!("{column} failed: {reason}"), 4)));
        }
        lines.extend(self.missing.iter().map(|(column, reason)| wrapped(&format!("{column} is missing: {reason}"), 0)));
        lines.join("\n")
    }

    fn shown(&self, row: &Row, column: &'static str) -> String {
        let Some(cell) = row.cells.get(column) else {
            let reason = if row.failed.contains_key(column) { "failed" } else { "missing" };
            let is_known = row.failed.contains_key(column) || self.missing.contains_key(column);
            return if is_known { reason.to_owned() } else { "–".to_owned() };
        };
        let figure = format!("{} {}", number(cell.value), row.unit);
        match self.columns.first().filter(|first| **first != column).and_then(|first| row.cells.get(first)) {
            Some(first) => format!("{figure} (×{})", number(cell.value / first.value)),
            None => figure,
        }
    }
}

/// The table in Markdown, followed by the reasons for missing figures.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | {} |", self.columns.join(" | "))?;
        writeln!(f, "| --- |{}", " ---: |".repeat(self.columns.len()))?;
        let mut part = "";
        for row in &self.rows {
            if row.part != part {
                part = row.part;
                writeln!(f, "| **{part}** |{}", " |".repeat(self.columns.len()))?;
            }
            let cells: Vec<String> = self.columns.iter().map(|column| self.shown(row, column)).collect();
            writeln!(f, "| {} | {} |", row.case, cells.join(" | "))?;
        }
        writeln!(f)?;
        for (column, reason) in &self.missing {
            writeln!(f, "- {column} is missing: {reason}")?;
        }
        for row in &self.rows {
            for (column, reason) in &row.failed {
                writeln!(f, "- {column} failed at {}, {}: {reason}", row.part, row.case)?;
            }
        }
        Ok(())
    }
}
