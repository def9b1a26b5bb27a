//! Draws one value of each series, as bars.

use super::{
    Series,
    canvas::{Anchor, Canvas, FAINT, TEXT},
    range,
};
use crate::measure::number;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 140.0;
const TOP: f64 = 50.0;
const STEP: f64 = 32.0;
const THICKNESS: f64 = 20.0;

/// The first series is the one that the others are compared with.
pub struct Bars {
    pub title: String,
    pub unit: &'static str,
    pub series: Vec<Series>,
}

impl Bars {
    pub fn svg(&self) -> String {
        let values: Vec<(&Series, f64)> =
            self.series.iter().filter_map(|series| Some((series, series.values.first().copied()??))).collect();
        let mut y = TOP;
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let height = TOP + STEP * values.len() as f64 + 12.0;
        let mut canvas = Canvas::new(WIDTH, height, &self.title);
        let (_, greatest) = range(&self.series);
        let first = values.first().map_or(1.0, |(_, value)| *value);
        for (place, (series, value)) in values.iter().enumerate() {
            let length = value / greatest * (WIDTH - LEFT - RIGHT);
            canvas.bar((LEFT, y), (length.max(1.0), THICKNESS), series.colour);
            canvas.text(LEFT - 10.0, y + 15.0, Anchor::End, TEXT, series.name);
            let times = if place == 0 { String::new() } else { format!("  ×{}", number(value / first)) };
            let label = format!("{} {}{times}", number(*value), self.unit);
            canvas.text(LEFT + length + 8.0, y + 15.0, Anchor::Start, FAINT, &label);
            y += STEP;
        }
        canvas.finish()
    }
}
