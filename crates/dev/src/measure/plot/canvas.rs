//! A white canvas with a title. Lengths are in its pixels.

use std::fmt::Write;

const FONT: &str = "ui-sans-serif, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif";

pub const TEXT: &str = "#222222";
pub const FAINT: &str = "#6b6b6b";
pub const GRID: &str = "#e4e4e4";

#[derive(Clone, Copy)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

pub struct Canvas {
    width: f64,
    height: f64,
    body: String,
}

impl Canvas {
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        let mut canvas = Self { width, height, body: String::new() };
        let title = escape(title);
        let _ = writeln!(
            canvas.body,
            r#"<text x="20" y="30" font-size="16" font-weight="600" fill="{TEXT}">{title}</text>"#
        );
        canvas
    }

    pub fn text(&mut self, x: f64, y: f64, anchor: Anchor, colour: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let text = escape(text);
        let _ =
            writeln!(self.body, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="{colour}">{text}</text>"#);
    }

    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(self.body, r#"<path d="M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}" stroke="{colour}"/>"#);
    }

    pub fn path(&mut self, points: &[(f64, f64)], colour: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        let _ = writeln!(self.body, r#"<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>"#);
    }

    pub fn dot(&mut self, (x, y): (f64, f64), colour: &str) {
        let _ = writeln!(self.body, r##"<circle cx="{x:.1}" cy="{y:.1}" r="4.5" fill="{colour}" stroke="#ffffff"/>"##);
    }

    pub fn bar(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), colour: &str) {
        let _ = writeln!(
            self.body,
            r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="2" fill="{colour}"/>"#
        );
    }

    pub fn finish(self) -> String {
        let Self { width, height, body } = self;
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="{FONT}" font-size="13">
<rect width="{width}" height="{height}" rx="6" fill="#ffffff"/>
{body}</svg>
"##
        )
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A logarithmic scale from values to lengths.
pub struct Scale {
    least: f64,
    greatest: f64,
    from: f64,
    to: f64,
}

impl Scale {
    pub fn new((least, greatest): (f64, f64), from: f64, to: f64) -> Self {
        // Leaves a margin, even if all values are equal.
        Self { least: (least * 0.8).log10(), greatest: (greatest * 1.25).log10(), from, to }
    }

    pub fn at(&self, value: f64) -> f64 {
        self.from + (value.log10() - self.least) / (self.greatest - self.least) * (self.to - self.from)
    }

    /// Returns the values of the grid lines: 1, 2 and 5 of every decade, or only 1 for many decades.
    pub fn ticks(&self) -> Vec<f64> {
        let steps: &[f64] = if self.greatest - self.least > 2.2 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let decades = (-6..9).map(|power| 10_f64.powi(power));
        let ticks = decades.flat_map(|decade| steps.iter().map(move |step| decade * step));
        ticks.filter(|tick| (self.least..=self.greatest).contains(&tick.log10())).collect()
    }
}
