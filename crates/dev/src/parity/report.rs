//! What was found: rows for the terminal, and the JSON report.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testkit::terminal::wrapped;

use super::{
    answer::Answer,
    class::{Class, Kind},
    compare::Finding,
    mask::shown,
};

/// Findings of a request that are printed, and that are in the report.
const PRINTED_MAX: usize = 5;
const REPORTED_MAX: usize = 200;

/// Columns of a request's name, and of its result.
const NAME_WIDTH: usize = 38;
const RESULT_WIDTH: usize = 9;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Equal in meaning.
    Same,
    Departs,
    Differs,
    Undecided,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Departs => "departs",
            Self::Differs => "DIFFERS",
            Self::Undecided => "undecided",
        }
    }
}

pub struct Row {
    pub name: String,
    pub outcome: Outcome,
    pub findings: Vec<Finding>,
    /// Why it is undecided.
    pub reason: Option<String>,
    /// The two statuses of the old endpoint, and the new one's.
    statuses: [Option<u16>; 3],
    durations: [Option<Duration>; 3],
}

impl Row {
    /// `strict`: departures are differences.
    pub fn new(name: &str, findings: Vec<Finding>, answers: [Option<&Answer>; 3], strict: bool) -> Self {
        let allowed = |kind| kind == Kind::Noise || (!strict && kind != Kind::Difference);
        let has = |kind| findings.iter().any(|finding| finding.class.kind() == kind);
        let outcome = if findings.iter().any(|finding| !allowed(finding.class.kind())) {
            Outcome::Differs
        } else if has(Kind::Departure) {
            Outcome::Departs
        } else {
            Outcome::Same
        };
        Self {
            name: name.to_owned(),
            outcome,
            findings,
            reason: None,
            statuses: answers.map(|answer| answer.map(|answer| answer.status)),
            durations: answers.map(|answer| answer.map(|answer| answer.duration)),
        }
    }

    pub fn undecided(name: &str, reason: String) -> Self {
        let mut row = Self::new(name, Vec::new(), [None; 3], false);
        (row.outcome, row.reason) = (Outcome::Undecided, Some(reason));
        row
    }

    fn classes(&self) -> BTreeMap<Class, usize> {
        let mut classes = BTreeMap::new();
        for finding in &self.findings {
            *classes.entry(finding.class).or_default() += 1;
        }
        classes
    }

    /// Formats it in 80 columns. Forms are omitted: nearly every response has them.
    pub fn text(&self, strict: bool) -> String {
        let mut name: String = self.name.chars().take(NAME_WIDTH).collect();
        if name.len() < self.name.len() {
            name.pop();
            name.push('…');
        }
        let classes = self.classes();
        let classes = classes.iter().filter(|(class, _)| strict || class.kind() != Kind::Form);
        let classes: Vec<String> = classes
            .map(
                |(class, count)| {
                    if *count > 1 { format!("{} ×{count}", class.name()) } else { class.name().to_owned() }
                },
            )
            .collect();
        let indent = NAME_WIDTH + RESULT_WIDTH + 4;
        let classes = wrapped(&classes.join(", "), indent);
        let line = format!("{name:<NAME_WIDTH$}  {:<RESULT_WIDTH$}  {}", self.outcome.name(), classes.trim_start());
        let mut lines = vec![line.trim_end().to_owned()];
        lines.extend(self.reason.as_ref().map(|reason| wrapped(reason, 4)));
        if self.outcome == Outcome::Differs {
            let is_shown = |finding: &&Finding| strict || finding.class == Class::Difference;
            let findings: Vec<&Finding> = self.findings.iter().filter(is_shown).collect();
            for finding in findings.iter().take(PRINTED_MAX) {
                let (old, new) = (shown(&finding.old), shown(&finding.new));
                lines.push(wrapped(&format!("{}: old {old}, new {new}", finding.place), 4));
            }
            if findings.len() > PRINTED_MAX {
                lines.push(format!("    and {} more", findings.len() - PRINTED_MAX));
            }
        }
        lines.join("\n")
    }

    fn json(&self) -> Value {
        let milliseconds = |duration: Option<Duration>| duration.map(|duration| duration.as_millis());
        let findings = self.findings.iter().take(REPORTED_MAX).map(|finding| {
            json!({ "class": finding.class.name(), "place": finding.place, "old": finding.old, "new": finding.new })
        });
        let classes = self.classes().into_iter().map(|(class, count)| (class.name().to_owned(), json!(count)));
        json!({
            "request": self.name,
            "result": self.outcome.name().to_lowercase(),
            "reason": self.reason,
            "old_status": &self.statuses[..2],
            "new_status": self.statuses[2],
            "old_ms": self.durations[..2].iter().copied().map(milliseconds).collect::<Vec<_>>(),
            "new_ms": milliseconds(self.durations[2]),
            "classes": classes.collect::<serde_json::Map<_, _>>(),
            "findings": findings.collect::<Vec<_>>(),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Equal,
    Differs,
    Undecided,
    Interrupted,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Differs => "not equal",
            Self::Undecided => "undecided",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A run, which may have been interrupted.
#[derive(Default)]
pub struct Run {
    pub rows: Vec<Row>,
    /// The number of requests; 0 before it is known.
    pub planned: usize,
    /// Why nothing could be compared.
    pub reason: Option<String>,
}

impl Run {
    fn count(&self, outcome: Outcome) -> usize {
        self.rows.iter().filter(|row| row.outcome == outcome).count()
    }

    pub fn verdict(&self) -> Verdict {
        let is_complete = self.planned > 0 && self.rows.len() == self.planned;
        if self.count(Outcome::Differs) > 0 {
            Verdict::Differs
        } else if self.reason.is_some() || (is_complete && self.count(Outcome::Undecided) > 0) {
            Verdict::Undecided
        } else if is_complete {
            Verdict::Equal
        } else {
            Verdict::Interrupted
        }
    }

    /// For each class: the requests and the places where it was found.
    fn classes(&self) -> BTreeMap<Class, (usize, usize)> {
        let mut classes = BTreeMap::<Class, (usize, usize)>::new();
        for (class, count) in self.rows.iter().flat_map(Row::classes) {
            let (requests, places) = classes.entry(class).or_default();
            (*requests, *places) = (*requests + 1, *places + count);
        }
        classes
    }

    pub fn has_departures(&self) -> bool {
        self.count(Outcome::Departs) > 0
    }

    /// Formats what was found in all requests, and the verdict.
    pub fn summary(&self) -> String {
        let mut lines = Vec::new();
        for (kind, title) in [
            (Kind::Difference, "unexplained"),
            (Kind::Departure, "departures that docs/contract.md lists"),
            (Kind::Form, "the same in another form"),
            (Kind::Noise, "noise of the old endpoint, and data that changed"),
        ] {
            let classes = self.classes();
            let classes: Vec<_> = classes.iter().filter(|(class, _)| class.kind() == kind).collect();
            if !classes.is_empty() {
                lines.push(format!("\n{title:<50} {:>10} {:>10}", "requests", "places"));
            }
            for (class, (requests, places)) in classes {
                lines.push(format!("  {:<48} {requests:>10} {places:>10}", class.name()));
            }
        }
        let median = |places: &[usize]| {
            let of = |row: &Row| places.iter().filter_map(|place| row.durations[*place]).collect::<Vec<_>>();
            let mut durations: Vec<_> = self.rows.iter().flat_map(of).collect();
            durations.sort_unstable();
            durations.get(durations.len() / 2).map(|duration| format!("{} ms", duration.as_millis()))
        };
        if let (Some(old), Some(new)) = (median(&[0, 1]), median(&[2])) {
            lines.push(format!("\nmedian response: old {old}, new {new}"));
        }
        let result = match self.verdict() {
            Verdict::Undecided if self.reason.is_some() => self.reason.clone().unwrap_or_default(),
            Verdict::Interrupted => format!("{} of {} requests were compared", self.rows.len(), self.planned),
            _ => self.counts(),
        };
        let has_departures = self.verdict() == Verdict::Equal && self.has_departures();
        let except = if has_departures { " except for documented departures" } else { "" };
        let verdict = format!("verdict: {}{except}; {result}", self.verdict().name());
        lines.push(format!("\n{}", wrapped(&verdict, 0)));
        lines.join("\n")
    }

    /// Returns the lines of the requests that do not show that both endpoints are equal.
    pub fn unequal(&self) -> impl Iterator<Item = String> {
        let is_unequal = |row: &&Row| matches!(row.outcome, Outcome::Differs | Outcome::Undecided);
        self.rows.iter().filter(is_unequal).map(|row| row.text(false))
    }

    /// Formats the number of requests of each outcome.
    pub fn counts(&self) -> String {
        let counts = [Outcome::Same, Outcome::Departs, Outcome::Differs, Outcome::Undecided]
            .map(|outcome| format!("{} {}", self.count(outcome), outcome.name().to_lowercase()));
        format!("{} requests: {}", self.rows.len(), counts.join(", "))
    }

    pub fn write(&self, path: &Path, [old, new]: [&str; 2]) -> Result<()> {
        let classes = self.classes().into_iter().map(|(class, (requests, places))| {
            (
                class.name().to_owned(),
                json!({ "kind": format!("{:?}", class.kind()).to_lowercase(), "requests": requests, "places": places }),
            )
        });
        let report = json!({
            "old": old,
            "new": new,
            "end": jiff::Timestamp::now(),
            "verdict": self.verdict().name(),
            "reason": self.reason,
            "planned": self.planned,
            "compared": self.rows.len(),
            "classes": classes.collect::<serde_json::Map<_, _>>(),
            "requests": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
        });
        std::fs::write(path, format!("{report:#}\n"))
            .with_context(|| format!("--report: cannot write {}", path.display()))
    }
}
