//! A report as a picture: calibration, accuracy at coverage, and AUC by position, side by side in one SVG.

use std::fmt::Write as _;

use super::report::{Figure, Report};

/// Width and height of a panel's square, and the space around it.
const SIDE: f64 = 260.0;
const LEFT: f64 = 62.0;
const TOP: f64 = 44.0;
const PITCH: f64 = 350.0;

const LAST: &str = "#0b5cad";
const ALL: &str = "#b3541e";

/// The picture; its colours are told apart by marks too.
pub fn svg(report: &Report) -> String {
    let (width, height) = (3.0 * PITCH, TOP + SIDE + 84.0);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text.push_str(&calibration(report));
    text.push_str(&coverage(report));
    text.push_str(&positions(report));
    text.push_str("</svg>\n");
    text
}

fn calibration(report: &Report) -> String {
    let mut panel = Panel::new(0, "Calibration", "mean reward", "share right");
    panel.axes(&TENTHS_OF_ONE, (0.0, 1.0));
    panel.line(&[(0.0, 0.0), (1.0, 1.0)], "#999", "4 4");
    for (bins, colour, square) in [(&report.last.bins, LAST, false), (&report.all.bins, ALL, true)] {
        let points: Vec<(f64, f64)> = bins.iter().map(|bin| (bin.predicted, bin.observed)).collect();
        panel.line(&points, colour, "");
        panel.marks(&points, colour, square);
    }
    panel.legend(&[("last step", LAST, false), ("all steps", ALL, true)]);
    panel.end()
}

fn coverage(report: &Report) -> String {
    let mut panel = Panel::new(1, "Accuracy at coverage", "share kept, best first", "share right among them");
    panel.axes(&TENTHS_OF_ONE, (0.0, 1.0));
    for (quality, colour, square) in [(&report.last, LAST, false), (&report.all, ALL, true)] {
        let points: Vec<(f64, f64)> = quality.coverage.iter().map(|way| (way.coverage, way.accuracy)).collect();
        panel.line(&points, colour, "");
        panel.marks(&points, colour, square);
    }
    panel.legend(&[("last step", LAST, false), ("all steps", ALL, true)]);
    panel.end()
}

fn positions(report: &Report) -> String {
    let mut panel = Panel::new(2, "Ranking by position of the step", "position", "AUC");
    // The axis starts where chance is, or lower if it must.
    let found = report.positions.iter().filter_map(|at| at.auc.map(|auc| auc.low));
    let bottom = if found.fold(1.0, f64::min) < 0.4 { 0.0 } else { 0.4 };
    let count = report.positions.len().max(1) as f64;
    let place = |index: usize| (index as f64 + 0.5) / count;
    let labels: Vec<(f64, String)> = report
        .positions
        .iter()
        .enumerate()
        .map(|(index, at)| (place(index), format!("{}{}", at.from, if at.and_later { "+" } else { "" })))
        .collect();
    panel.axes(&labels, (bottom, 1.0));
    panel.line(&[(0.0, 0.5), (1.0, 0.5)], "#999", "4 4");
    for (index, at) in report.positions.iter().enumerate() {
        let Some(Figure { value, low, high }) = at.auc else { continue };
        panel.line(&[(place(index), low), (place(index), high)], ALL, "");
        panel.mark((place(index), value), ALL, true);
    }
    if let Some(last) = report.rankings.first().and_then(|ranking| ranking.last) {
        panel.line(&[(0.0, last.value), (1.0, last.value)], LAST, "");
    }
    panel.legend(&[("line: last steps", LAST, false), ("steps at the position", ALL, true)]);
    panel.end()
}

/// Labels of an axis from 0 to 1.
static TENTHS_OF_ONE: std::sync::LazyLock<Vec<(f64, String)>> =
    std::sync::LazyLock::new(|| (0..=5).map(|n| f64::from(n) / 5.0).map(|at| (at, format!("{at:.1}"))).collect());

/// One diagram. Points are x in [0, 1] and y in the range of the axis.
struct Panel {
    text: String,
    range: (f64, f64),
}

impl Panel {
    fn new(index: usize, title: &str, x: &str, y: &str) -> Self {
        let mut text = format!("<g transform=\"translate({} {TOP})\">\n", PITCH * index as f64 + LEFT);
        let middle = SIDE / 2.0;
        let _ = writeln!(text, "<text x=\"{middle}\" y=\"-18\" text-anchor=\"middle\" font-size=\"14\">{title}</text>");
        let _ = writeln!(text, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{x}</text>", SIDE + 36.0);
        let _ =
            writeln!(text, "<text transform=\"translate(-44 {middle}) rotate(-90)\" text-anchor=\"middle\">{y}</text>");
        Self { text, range: (0.0, 1.0) }
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let (low, high) = self.range;
        (x * SIDE, SIDE * (1.0 - (y - low) / (high - low)))
    }

    fn axes(&mut self, labels: &[(f64, String)], range: (f64, f64)) {
        self.range = range;
        // A line at every tenth, or at every second one where there are many.
        let lines = if range.1 - range.0 > 0.8 { 5 } else { 6 };
        for line in 0..=lines {
            let at = range.0 + (range.1 - range.0) * f64::from(line) / f64::from(lines);
            let (_, y) = self.place((0.0, at));
            let _ = writeln!(self.text, "<path d=\"M0 {y:.1}H{SIDE}\" stroke=\"#ddd\"/>");
            let _ = writeln!(self.text, "<text x=\"-8\" y=\"{:.1}\" text-anchor=\"end\">{at:.2}</text>", y + 4.0);
        }
        for (at, label) in labels {
            let _ = writeln!(
                self.text,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
                at * SIDE,
                SIDE + 18.0
            );
        }
        let _ = writeln!(self.text, "<rect width=\"{SIDE}\" height=\"{SIDE}\" fill=\"none\" stroke=\"#444\"/>");
    }

    fn line(&mut self, points: &[(f64, f64)], colour: &str, dashes: &str) {
        let points: Vec<String> =
            points.iter().map(|&point| self.place(point)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            self.text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\" stroke-dasharray=\"{}\"/>",
            points.join(" "),
            if dashes.is_empty() { "none" } else { dashes }
        );
    }

    fn marks(&mut self, points: &[(f64, f64)], colour: &str, square: bool) {
        for &point in points {
            self.mark(point, colour, square);
        }
    }

    fn mark(&mut self, point: (f64, f64), colour: &str, square: bool) {
        let (x, y) = self.place(point);
        self.dot(x, y, colour, square);
    }

    fn dot(&mut self, x: f64, y: f64, colour: &str, square: bool) {
        let _ = if square {
            writeln!(
                self.text,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"7\" height=\"7\" fill=\"{colour}\"/>",
                x - 3.5,
                y - 3.5
            )
        } else {
            writeln!(self.text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>")
        };
    }

    fn legend(&mut self, entries: &[(&str, &str, bool)]) {
        let mut x = 8.0;
        for (name, colour, square) in entries {
            let y = SIDE + 62.0;
            self.dot(x, y - 4.0, colour, *square);
            let _ = writeln!(self.text, "<text x=\"{}\" y=\"{y}\">{name}</text>", x + 10.0);
            x += 138.0;
        }
    }

    fn end(mut self) -> String {
        self.text.push_str("</g>\n");
        self.text
    }
}
