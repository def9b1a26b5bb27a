//! Draws values at a few points, joined by lines, on a logarithmic scale.

use super::{
    Series,
    canvas::{Anchor, Canvas, FAINT, GRID, Scale},
    range,
};
use crate::measure::number;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 240.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 40.0;

const LINE_HEIGHT: f64 = 17.0;

pub struct Lines {
    pub title: String,
    pub unit: &'static str,
    /// Labels of the points, which are equidistant.
    pub points: Vec<String>,
    pub series: Vec<Series>,
}

impl Lines {
    pub fn svg(&self) -> String {
        let mut canvas = Canvas::new(WIDTH, HEIGHT, &self.title);
        let scale = Scale::new(range(&self.series), HEIGHT - BOTTOM, TOP);
        for tick in scale.ticks() {
            let y = scale.at(tick);
            canvas.line((LEFT, y), (WIDTH - RIGHT, y), GRID);
            canvas.text(LEFT - 8.0, y + 4.0, Anchor::End, FAINT, &format!("{} {}", tick_label(tick), self.unit));
        }
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let x = |point: usize| {
            let step = (WIDTH - LEFT - RIGHT - 40.0) / (self.points.len() - 1).max(1) as f64;
            LEFT + 20.0 + step * point as f64
        };
        for (place, point) in self.points.iter().enumerate() {
            canvas.text(x(place), HEIGHT - BOTTOM + 22.0, Anchor::Middle, FAINT, point);
        }
        let mut names = Vec::new();
        for series in &self.series {
            let values = series.values.iter().enumerate();
            let points: Vec<(f64, f64)> =
                values.filter_map(|(place, value)| Some((x(place), scale.at((*value)?)))).collect();
            canvas.path(&points, series.colour);
            for point in &points {
                canvas.dot(*point, series.colour);
            }
            if let (Some((_, y)), Some(value)) = (points.last(), series.values.iter().flatten().next_back()) {
                names.push((*y, format!("{}  {} {}", series.name, number(*value), self.unit), series.colour));
            }
        }
        for (y, name, colour) in apart(names) {
            canvas.text(WIDTH - RIGHT, y + 4.0, Anchor::Start, colour, &name);
        }
        canvas.finish()
    }
}

/// Formats a round number without trailing zeros.
pub fn tick_label(tick: f64) -> String {
    let text = number(tick);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Moves overlapping labels apart: down, and all of them up if the last would leave the canvas.
fn apart<T, U>(mut names: Vec<(f64, T, U)>) -> Vec<(f64, T, U)> {
    names.sort_by(|one, other| one.0.total_cmp(&other.0));
    for place in 1..names.len() {
        names[place].0 = names[place].0.max(names[place - 1].0 + LINE_HEIGHT);
    }
    let mut limit = HEIGHT - BOTTOM + 8.0;
    for (y, ..) in names.iter_mut().rev() {
        *y = y.min(limit);
        limit = *y - LINE_HEIGHT;
    }
    names
}
