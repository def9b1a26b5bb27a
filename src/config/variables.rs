//! Variables of the environment, and what is wrong with them.

use std::{fmt, ops::RangeInclusive, str::FromStr};

/// Reads variables and collects every fault, so that an operator sees all of them at once. Values are never quoted.
pub struct Variables<F> {
    /// A variable's value by its name.
    pub variable: F,
    /// What is wrong so far.
    pub faults: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    pub fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }

    /// A text; an empty one counts as not set.
    pub fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// A value of a type of its own, which `rule` describes.
    pub fn parsed<T: FromStr>(&mut self, name: &str, rule: &str) -> Option<T> {
        let value = self.text(name)?.trim().parse().ok();
        if value.is_none() {
            self.fault(format!("{name} must be {rule}"));
        }
        value
    }

    /// A whole number.
    pub fn number<T: FromStr + PartialOrd + fmt::Display>(
        &mut self,
        name: &str,
        range: RangeInclusive<T>,
        default: T,
    ) -> T {
        let rule = format!("a whole number from {} to {}", range.start(), range.end());
        match self.parsed(name, &rule) {
            Some(number) if range.contains(&number) => number,
            Some(_) => {
                self.fault(format!("{name} must be {rule}"));
                default
            }
            None => default,
        }
    }
}
