//! The prices and assumptions of docs/prices.toml, which docs/cost.py reads too.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

pub struct Prices(BTreeMap<&'static str, f64>);

impl Prices {
    /// Reads lines of the form `NAME = number  # comment`, which is the part of TOML that the file uses.
    pub fn read() -> Result<Self> {
        let lines = include_str!("../../../../docs/prices.toml").lines();
        let lines = lines.map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|line| !line.is_empty());
        let number = |line: &'static str| {
            let (name, value) = line.split_once('=').with_context(|| format!("docs/prices.toml: {line}"))?;
            anyhow::Ok((name.trim(), value.trim().parse().with_context(|| format!("docs/prices.toml: {line}"))?))
        };
        Ok(Self(lines.map(number).collect::<Result<_>>()?))
    }

    pub fn get(&self, name: &str) -> Result<f64> {
        self.0.get(name).copied().with_context(|| format!("docs/prices.toml has no {name}"))
    }
}
