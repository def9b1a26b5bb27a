//! Draws values at points with long names, as dots in rows, on a logarithmic scale.

use super::{
    Series,
    canvas::{Anchor, Canvas, FAINT, GRID, Scale, TEXT},
    lines::tick_label,
    range,
};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 290.0;
const RIGHT: f64 = 30.0;
/// Below the title and the names of the candidates.
const TOP: f64 = 92.0;
const STEP: f64 = 28.0;

pub struct Dots {
    pub title: String,
    pub unit: &'static str,
    pub points: Vec<String>,
    pub series: Vec<Series>,
}

impl Dots {
    pub fn svg(&self) -> String {
        #[expect(clippy::cast_precision_loss, reason = "a dozen")]
        let bottom = TOP + STEP * self.points.len() as f64;
        let mut canvas = Canvas::new(WIDTH, bottom + 34.0, &self.title);
        let scale = Scale::new(range(&self.series), LEFT, WIDTH - RIGHT);
        for tick in scale.ticks() {
            let x = scale.at(tick);
            canvas.line((x, TOP - 8.0), (x, bottom - 4.0), GRID);
            canvas.text(x, bottom + 16.0, Anchor::Middle, FAINT, &format!("{} {}", tick_label(tick), self.unit));
        }
        let mut x = 26.0;
        for series in &self.series {
            canvas.dot((x, 56.0), series.colour);
            canvas.text(x + 10.0, 60.5, Anchor::Start, TEXT, series.name);
            // The approximate width of a character.
            x += 34.0 + series.name.chars().map(|_| 6.6).sum::<f64>();
        }
        let mut y = TOP + 6.0;
        for (place, point) in self.points.iter().enumerate() {
            canvas.text(LEFT - 14.0, y + 4.5, Anchor::End, TEXT, point);
            canvas.line((LEFT, y), (WIDTH - RIGHT, y), GRID);
            // Draws the first, ours, on top.
            for series in self.series.iter().rev() {
                if let Some(value) = series.values[place] {
                    canvas.dot((scale.at(value), y), series.colour);
                }
            }
            y += STEP;
        }
        canvas.finish()
    }
}
