//! Plots in SVG: dark on white, readable on a page of any colour; every line and bar is labelled.
//!
//! Without a library, because placing labels next to their lines is most of the work, and libraries leave it to the
//! caller.

mod bars;
mod canvas;
mod dots;
mod lines;

pub use self::{bars::Bars, dots::Dots, lines::Lines};

pub struct Series {
    pub name: &'static str,
    pub colour: &'static str,
    /// A value for each point; `None` where it is missing.
    pub values: Vec<Option<f64>>,
}

fn range(series: &[Series]) -> (f64, f64) {
    let values = series.iter().flat_map(|series| series.values.iter().flatten());
    values.fold((f64::MAX, f64::MIN), |(least, greatest), value| (least.min(*value), greatest.max(*value)))
}
