//! One diagram with its axes, labels and legend.

use std::fmt::Write as _;

use super::{
    Axis, MarkStyle, escaped,
    labels::{LETTER, LabelArea, Obstacle, PointLabel, place},
};

const LEFT: f64 = 62.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 50.0;
const LEGEND: f64 = 24.0;

/// A diagram being drawn. Points are given in the units of its axes.
pub struct Panel {
    x: Axis,
    y: Axis,
    width: f64,
    height: f64,
    text: String,
    /// Marks, drawn after lines so that no line crosses them.
    marks: String,
    labels: Vec<PointLabel>,
    obstacles: Vec<Obstacle>,
    legend: Vec<LegendEntry>,
}

/// An entry of the legend: its drawing and the number of its letters.
struct LegendEntry {
    drawing: String,
    letters: usize,
}

impl Panel {
    /// An empty diagram whose frame has the given width and height.
    #[must_use]
    pub fn new(title: &str, x: Axis, y: Axis, (width, height): (f64, f64)) -> Self {
        let mut panel = Self {
            x,
            y,
            width,
            height,
            text: String::new(),
            marks: String::new(),
            labels: Vec::new(),
            obstacles: Vec::new(),
            legend: Vec::new(),
        };
        panel.axes(title);
        panel
    }

    /// Width and height including everything around the frame.
    #[must_use]
    pub fn size(&self) -> (f64, f64) {
        let rows = self.legend_places().last().map_or(0.0, |(_, row)| row + 1.0);
        (LEFT + self.width + RIGHT, TOP + self.height + BOTTOM + LEGEND * rows + if rows > 0.0 { 6.0 } else { 0.0 })
    }

    fn axes(&mut self, title: &str) {
        let Self { x, y, width, height, text, .. } = self;
        let middle = *width / 2.0;
        let _ = writeln!(
            text,
            "<text x=\"{middle}\" y=\"-18\" text-anchor=\"middle\" font-size=\"14\">{}</text>",
            escaped(title)
        );
        let _ = writeln!(
            text,
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            *height + 38.0,
            escaped(&x.title)
        );
        let _ = writeln!(
            text,
            "<text transform=\"translate(-46 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            *height / 2.0,
            escaped(&y.title)
        );
        for (value, label) in &y.ticks {
            let at = *height * (1.0 - y.at(*value));
            let _ = writeln!(text, "<path d=\"M0 {at:.1}H{width}\" stroke=\"#ddd\"/>");
            let _ =
                writeln!(text, "<text x=\"-8\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", at + 4.0, escaped(label));
        }
        for (value, label) in &x.ticks {
            let at = *width * x.at(*value);
            if x.lines {
                let _ = writeln!(text, "<path d=\"M{at:.1} 0V{height}\" stroke=\"#eee\"/>");
            }
            let _ = writeln!(
                text,
                "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                *height + 18.0,
                escaped(label)
            );
        }
        let _ = writeln!(text, "<rect width=\"{width}\" height=\"{height}\" fill=\"none\" stroke=\"#444\"/>");
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.width * self.x.at(x), self.height * (1.0 - self.y.at(y)))
    }

    /// Draws a line through points. `dashes` is a `stroke-dasharray`, empty for a solid line.
    pub fn line(&mut self, points: &[(f64, f64)], color: &str, dashes: &str) {
        let places: Vec<(f64, f64)> = points.iter().map(|&point| self.place(point)).collect();
        self.polyline(&places, color, 1.6, dashes);
        for pair in places.windows(2) {
            // A slanted line is an obstacle where it runs, not in the whole rectangle that it spans.
            for part in 0..8 {
                let at = |share: f64| {
                    let along = |from: f64, to: f64| from + share * (to - from);
                    (along(pair[0].0, pair[1].0), along(pair[0].1, pair[1].1))
                };
                let ((ax, ay), (bx, by)) = (at(f64::from(part) / 8.0), at(f64::from(part + 1) / 8.0));
                let area = LabelArea(ax.min(bx) - 1.0, ay.min(by) - 1.0, ax.max(bx) + 1.0, ay.max(by) + 1.0);
                self.obstacles.push((area, 1.0));
            }
        }
    }

    fn polyline(&mut self, places: &[(f64, f64)], color: &str, width: f64, dashes: &str) {
        let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let dashes = if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") };
        let _ = writeln!(
            self.text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\"{dashes}/>",
            points.join(" ")
        );
    }

    /// Draws a thin vertical line: the range of a value at `x`.
    pub fn whisker(&mut self, x: f64, (low, high): (f64, f64), color: &str) {
        let [low, high] = [self.place((x, low)), self.place((x, high))];
        let _ = writeln!(
            self.text,
            "<path d=\"M{x:.1} {:.1}V{:.1}m-3 0h6M{:.1} {:.1}h6\" fill=\"none\" stroke=\"{color}\" \
             stroke-width=\"0.9\" stroke-opacity=\"0.65\"/>",
            low.1,
            high.1,
            low.0 - 3.0,
            low.1,
            x = low.0,
        );
        self.obstacles.push((LabelArea(low.0 - 2.0, high.1, low.0 + 2.0, low.1), 2.0));
    }

    /// Draws a thin horizontal line: the range of a value at `y`.
    pub fn level_whisker(&mut self, (low, high): (f64, f64), y: f64, color: &str) {
        let [low, high] = [self.place((low, y)), self.place((high, y))];
        let _ = writeln!(
            self.text,
            "<path d=\"M{:.1} {y:.1}H{:.1}m0 -3v6M{:.1} {:.1}v6\" fill=\"none\" stroke=\"{color}\" \
             stroke-width=\"0.9\" stroke-opacity=\"0.65\"/>",
            low.0,
            high.0,
            low.0,
            low.1 - 3.0,
            y = low.1,
        );
        self.obstacles.push((LabelArea(low.0, low.1 - 2.0, high.0, low.1 + 2.0), 2.0));
    }

    /// Draws a mark at a point.
    pub fn mark(&mut self, point: (f64, f64), look: MarkStyle) {
        let (x, y) = self.place(point);
        self.marks.push_str(&look.draw((x, y)));
        self.obstacles.push((LabelArea(x - 6.0, y - 6.0, x + 6.0, y + 6.0), 20.0));
    }

    /// Adds a label beside a point.
    pub fn label(&mut self, point: (f64, f64), text: &str, color: &'static str) {
        self.labels.push(PointLabel { point: self.place(point), text: text.to_owned(), color });
    }

    /// Draws bars side by side, as an outline with a light fill.
    pub fn bars(&mut self, heights: &[f64], (low, high): (f64, f64), color: &str, dashes: &str) {
        let step = (high - low) / heights.len().max(1) as f64;
        let edge = |place: usize| low + step * place as f64;
        let mut outline = vec![(low, 0.0)];
        for (place, height) in heights.iter().enumerate() {
            outline.extend([(edge(place), *height), (edge(place + 1), *height)]);
        }
        outline.push((high, 0.0));
        let places: Vec<(f64, f64)> = outline.into_iter().map(|point| self.place(point)).collect();
        let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let points = points.join(" ");
        let _ = writeln!(self.text, "<polygon points=\"{points}\" fill=\"{color}\" fill-opacity=\"0.12\"/>");
        self.polyline(&places, color, 1.8, dashes);
    }

    /// Adds an entry with a mark to the legend.
    pub fn explain(&mut self, text: &str, look: MarkStyle) {
        let sign = look.draw((10.0, -4.0));
        let drawing = format!("{sign}<text x=\"26\">{}</text>", escaped(text));
        self.legend.push(LegendEntry { drawing, letters: text.chars().count() });
    }

    /// Adds an entry with a line to the legend.
    pub fn explain_line(&mut self, text: &str, color: &str, dashes: &str) {
        let dashes = if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") };
        let drawing = format!(
            "<path d=\"M0 -4h20\" stroke=\"{color}\" stroke-width=\"1.8\"{dashes}/><text x=\"26\">{}</text>",
            escaped(text)
        );
        self.legend.push(LegendEntry { drawing, letters: text.chars().count() });
    }

    /// The x of each entry of the legend, and its row.
    fn legend_places(&self) -> Vec<(f64, f64)> {
        let longest = self.legend.iter().map(|entry| entry.letters).max().unwrap_or(0);
        let pitch = 44.0 + LETTER * longest as f64;
        let columns = (self.width / pitch).floor().max(1.0);
        let place = |entry: usize| {
            let row = (entry as f64 / columns).floor();
            (pitch * (entry as f64 - row * columns), row)
        };
        (0..self.legend.len()).map(place).collect()
    }

    /// The finished drawing, with labels and legend.
    pub(super) fn end(mut self) -> String {
        let places = place(&self.labels, &self.obstacles, (self.width, self.height));
        let mut names = String::new();
        for (label, place) in self.labels.iter().zip(places) {
            let LabelArea(left, top, right, bottom) = place.area;
            if place.far {
                let (x, y) = label.point;
                let (to_x, to_y) = (x.clamp(left, right), y.clamp(top, bottom));
                let _ = writeln!(
                    names,
                    "<path d=\"M{x:.1} {y:.1}L{to_x:.1} {to_y:.1}\" stroke=\"{}\" stroke-width=\"0.6\"/>",
                    label.color
                );
            }
            let name = |style: &str| {
                let (x, y, anchor) = (place.x, bottom - 3.0, place.anchor);
                let text = escaped(&label.text);
                format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {style}>{text}</text>\n")
            };
            // A white outline makes letters readable where a line crosses them.
            names.push_str(&name("fill=\"white\" stroke=\"white\" stroke-width=\"3\" stroke-opacity=\"0.8\""));
            names.push_str(&name(&format!("fill=\"{}\"", label.color)));
        }
        for ((x, row), LegendEntry { drawing, .. }) in self.legend_places().into_iter().zip(&self.legend) {
            let y = self.height + BOTTOM + 14.0 + LEGEND * row;
            let _ = writeln!(names, "<g transform=\"translate({x} {y})\">{drawing}</g>");
        }
        self.text.push_str(&names);
        self.text.push_str(&self.marks);
        format!("<g transform=\"translate({LEFT} {TOP})\">\n{}</g>\n", self.text)
    }
}
