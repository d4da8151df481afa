//! Small diagrams as SVG text: panels with axes, lines, marks, and labels that keep out of each other's way.
//!
//! Plotting crates write a name where they are told to; to find the place is most of the work here.
//!
//! Colours are after the palette of Okabe and Ito, which people with any colour vision can tell apart, darker where
//! letters have them. Every look has a shape of its own too.

mod axis;
mod labels;
mod panel;

use std::fmt::Write as _;

pub use self::{axis::Axis, panel::Panel};

/// Colours.
pub mod colour {
    /// Black.
    pub const BLACK: &str = "#000000";
    /// Grey, for what is only there for orientation.
    pub const GREY: &str = "#767676";
    /// Blue.
    pub const BLUE: &str = "#0072b2";
    /// Vermilion.
    pub const VERMILION: &str = "#d55e00";
    /// Bluish green.
    pub const GREEN: &str = "#009e73";
    /// Reddish purple.
    pub const PURPLE: &str = "#aa4499";
    /// Orange.
    pub const ORANGE: &str = "#b87800";
}

/// The shape of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A disc.
    Disc,
    /// A square.
    Square,
    /// A square on its corner.
    Diamond,
    /// A triangle that points up.
    Up,
    /// A triangle that points down.
    Down,
    /// Two crossed strokes.
    Cross,
    /// A circle.
    Ring,
    /// An upright cross.
    Plus,
    /// The outline of a square on its corner.
    HollowDiamond,
}

/// What a mark looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Its colour.
    pub colour: &'static str,
    /// Its shape.
    pub shape: Shape,
}

impl Look {
    /// A look.
    #[must_use]
    pub fn new(colour: &'static str, shape: Shape) -> Self {
        Self { colour, shape }
    }

    /// The mark around a point.
    fn draw(self, (x, y): (f64, f64)) -> String {
        let Self { colour, shape } = self;
        let path = match shape {
            Shape::Disc | Shape::Ring => "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
            Shape::Square => "m-3.7 -3.7h7.4v7.4h-7.4z",
            Shape::Diamond | Shape::HollowDiamond => "m0 -5.2l5.2 5.2l-5.2 5.2l-5.2 -5.2z",
            Shape::Up => "m0 -5l4.8 8.4h-9.6z",
            Shape::Down => "m0 5l4.8 -8.4h-9.6z",
            Shape::Plus => "m-4.6 0h9.2m-4.6 -4.6v9.2",
            Shape::Cross => "m-3.8 -3.8l7.6 7.6m0 -7.6l-7.6 7.6",
        };
        let (fill, width) = match shape {
            Shape::Ring | Shape::HollowDiamond => ("none", 1.6),
            Shape::Cross | Shape::Plus => ("none", 2.2),
            _ => (colour, 1.0),
        };
        format!("<path d=\"M{x:.1} {y:.1}{path}\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>\n")
    }
}

/// A whole file: panels side by side, each with its size.
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

/// A text as XML holds it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_the_file() {
        let axis = || Axis::linear("a < b", 0.0, 1.0, |at| format!("{at:.1}"));
        let mut panel = Panel::new("R&D", axis(), axis(), (200.0, 200.0));
        panel.label((0.5, 0.5), "<script>", colour::BLACK);
        let text = document(vec![panel]);
        assert!(text.contains("R&amp;D") && text.contains("a &lt; b") && text.contains("&lt;script&gt;"));
        assert_eq!(text.matches("<g ").count(), text.matches("</g>").count());
    }
}
