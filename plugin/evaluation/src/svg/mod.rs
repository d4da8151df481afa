//! Small diagrams as SVG text: panels with axes, lines, marks, and labels that avoid each other.
//!
//! Plotting crates put a label where the caller says. Finding the place for it is most of the work here.
//!
//! The colors follow the palette of Okabe and Ito, which people with any color vision can distinguish; they are darker
//! where text uses them. Marks also differ in shape.

mod axis;
mod labels;
mod panel;

use std::fmt::Write as _;

use crate::markup::escaped;

pub use self::{axis::Axis, panel::Panel};

/// The colors of lines, marks and labels.
pub mod color {
    pub const BLACK: &str = "#000000";
    /// For what only gives orientation.
    pub const GRAY: &str = "#767676";
    pub const BLUE: &str = "#0072b2";
    pub const VERMILION: &str = "#d55e00";
    pub const GREEN: &str = "#009e73";
    pub const PURPLE: &str = "#aa4499";
    pub const ORANGE: &str = "#b87800";
}

/// The shape of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkShape {
    Disc,
    Square,
    /// A square on its corner.
    Diamond,
    /// A triangle that points up.
    Up,
    /// A triangle that points down.
    Down,
    /// Two crossed strokes.
    Cross,
    /// The outline of a disc.
    Ring,
    /// An upright cross.
    Plus,
    /// The outline of a diamond.
    HollowDiamond,
}

/// The color and the shape of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkStyle {
    pub color: &'static str,
    pub shape: MarkShape,
}

impl MarkStyle {
    #[must_use]
    pub fn new(color: &'static str, shape: MarkShape) -> Self {
        Self { color, shape }
    }

    /// The SVG of the mark around a point.
    fn draw(self, (x, y): (f64, f64)) -> String {
        let Self { color, shape } = self;
        let path = match shape {
            MarkShape::Disc | MarkShape::Ring => "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
            MarkShape::Square => "m-3.7 -3.7h7.4v7.4h-7.4z",
            MarkShape::Diamond | MarkShape::HollowDiamond => "m0 -5.2l5.2 5.2l-5.2 5.2l-5.2 -5.2z",
            MarkShape::Up => "m0 -5l4.8 8.4h-9.6z",
            MarkShape::Down => "m0 5l4.8 -8.4h-9.6z",
            MarkShape::Plus => "m-4.6 0h9.2m-4.6 -4.6v9.2",
            MarkShape::Cross => "m-3.8 -3.8l7.6 7.6m0 -7.6l-7.6 7.6",
        };
        let (fill, width) = match shape {
            MarkShape::Ring | MarkShape::HollowDiamond => ("none", 1.6),
            MarkShape::Cross | MarkShape::Plus => ("none", 2.2),
            _ => (color, 1.0),
        };
        format!("<path d=\"M{x:.1} {y:.1}{path}\" fill=\"{fill}\" stroke=\"{color}\" stroke-width=\"{width}\"/>\n")
    }
}

/// A complete SVG file with the panels side by side.
#[must_use]
pub fn document(panels: Vec<Panel>) -> String {
    let mut inner = String::new();
    let (mut width, mut height) = (0.0, 0.0f64);
    for panel in panels {
        let (panel_width, panel_height) = panel.size();
        let _ = write!(inner, "<g transform=\"translate({width} 0)\">\n{}</g>\n", panel.end());
        width += panel_width;
        height = height.max(panel_height);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{inner}</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_the_file() {
        let axis = || Axis::linear("a < b", 0.0, 1.0, |at| format!("{at:.1}"));
        let mut panel = Panel::new("R&D", axis(), axis(), (200.0, 200.0));
        panel.label((0.5, 0.5), "<script>", color::BLACK);
        let text = document(vec![panel]);
        assert!(text.contains("R&amp;D") && text.contains("a &lt; b") && text.contains("&lt;script&gt;"));
        assert_eq!(text.matches("<g ").count(), text.matches("</g>").count());
    }
}
