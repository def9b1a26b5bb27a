//! Bounds that measured figures keep or do not.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct};
use testkit::terminal::wrapped;

use super::number;

/// A figure that must not be above its bound.
pub struct Goal {
    pub what: String,
    pub bound: f64,
    /// What stands after the figure: ` MB`, ` %`, ` times`.
    pub unit: &'static str,
    /// The figure, or why there is none.
    pub measured: Result<f64, String>,
}

impl Goal {
    /// `None` if nothing was measured.
    pub fn holds(&self) -> Option<bool> {
        self.measured.as_ref().ok().map(|measured| *measured <= self.bound)
    }

    /// For a terminal: one paragraph.
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

    /// The table of these goals, in Markdown.
    pub fn table(goals: &[Self]) -> String {
        let rows = goals.iter().map(Self::to_string).collect::<Vec<_>>().join("\n");
        format!("| goal | bound | measured | holds |\n| --- | ---: | ---: | --- |\n{rows}\n")
    }
}

/// A row of the table.
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
