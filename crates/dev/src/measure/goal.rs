//! Bounds for measured figures.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct};
use testkit::terminal::wrapped;

use super::number;

/// A figure that must not be above its bound.
pub struct Goal {
    pub what: String,
    pub bound: f64,
    /// Follows the figure: ` MB`, ` %`, ` times`.
    pub unit: &'static str,
    /// The figure, or why it is missing.
    pub measured: Result<f64, String>,
}

impl Goal {
    /// Returns whether the goal is met; `None` if nothing was measured.
    pub fn holds(&self) -> Option<bool> {
        self.measured.as_ref().ok().map(|measured| *measured <= self.bound)
    }

    /// Formats the goal as a paragraph for a terminal.
    pub fn text(&self) -> String {
        let Self { what, bound, unit, measured } = self;
        let bound = number(*bound);
        wrapped(
            &match measured {
                Ok(measured) if *measured <= self.bound => {
                    format!("met: {what}: {}{unit} of at most {bound}{unit}", number(*measured))
                }
                Ok(measured) => format!("NOT met: {what}: {}{unit} of at most {bound}{unit}", number(*measured)),
                Err(reason) => format!("not measured: {what}: {reason}"),
            },
            2,
        )
    }

    /// Formats goals as a table in Markdown.
    pub fn table(goals: &[Self]) -> String {
        let rows = goals.iter().map(Self::to_string).collect::<Vec<_>>().join("\n");
        format!("| goal | bound | measured | holds |\n| --- | ---: | ---: | --- |\n{rows}\n")
    }
}

/// A row of the table in Markdown.
impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, bound, unit, measured } = self;
        match measured {
            Ok(measured) => {
                let holds = if *measured <= *bound { "yes" } else { "**no**" };
                write!(f, "| {what} | {}{unit} | {}{unit} | {holds} |", number(*bound), number(*measured))
            }
            Err(reason) => write!(f, "| {what} | {}{unit} | missing | {reason} |", number(*bound)),
        }
    }
}

impl Serialize for Goal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut goal = serializer.serialize_struct("Goal", 6)?;
        goal.serialize_field("what", &self.what)?;
        goal.serialize_field("bound", &self.bound)?;
        goal.serialize_field("unit", self.unit.trim())?;
        goal.serialize_field("measured", &self.measured.as_ref().ok())?;
        goal.serialize_field("holds", &self.holds())?;
        goal.serialize_field("missing", &self.measured.as_ref().err())?;
        goal.end()
    }
}
