//! The report's pictures, as SVG.

mod levels;
mod rewards;
mod tradeoff;

use super::{Report, delta};
use crate::svg::{MarkShape, MarkStyle, color};

/// Every picture by its file name; `None` where its data is missing.
pub(super) fn all(report: &Report) -> [(&'static str, Option<String>); 4] {
    [
        ("flops.svg", tradeoff::flops(report)),
        ("time.svg", tradeoff::time(report)),
        ("levels.svg", levels::levels(report)),
        ("rewards.svg", rewards::rewards(report)),
    ]
}

/// The style of a method, the same in all pictures. The configured threshold differs from the others.
fn mark_style(report: &Report, name: &str) -> MarkStyle {
    let (color, shape) = match name {
        name if report.configured.as_deref() == Some(name) => (color::BLUE, MarkShape::Diamond),
        "target" => (color::BLACK, MarkShape::Square),
        "draft" => (color::GRAY, MarkShape::Plus),
        "draft-sampled" => (color::GRAY, MarkShape::Ring),
        "target-sampled" => (color::BLACK, MarkShape::Ring),
        name if delta(name).is_some() => (color::BLUE, MarkShape::Disc),
        name if name.starts_with("best-of-") => (color::GREEN, MarkShape::Up),
        name if name.starts_with("majority-of-") => (color::PURPLE, MarkShape::Down),
        name if name.starts_with("oracle-") => (color::ORANGE, MarkShape::HollowDiamond),
        _ => (color::VERMILION, MarkShape::Cross),
    };
    MarkStyle::new(color, shape)
}

/// A share as a tick label.
fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}
