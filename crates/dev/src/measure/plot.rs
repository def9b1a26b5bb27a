//! Plots in SVG: dark on white, so that they can be read on a page of any colour; every line and bar carries its own name.
//!
//! Drawn by hand, because names next to their lines and bars are most of the work, and no library does that.

mod bars;
mod canvas;
mod dots;
mod lines;

pub use self::{bars::Bars, dots::Dots, lines::Lines};

/// What one candidate came to.
pub struct Series {
    pub name: &'static str,
    pub colour: &'static str,
    /// At each point; `None` where there is none.
    pub values: Vec<Option<f64>>,
}

/// The least and the greatest of all values.
fn range(series: &[Series]) -> (f64, f64) {
    let values = series.iter().flat_map(|series| series.values.iter().flatten());
    values.fold((f64::MAX, f64::MIN), |(least, greatest), value| (least.min(*value), greatest.max(*value)))
}
