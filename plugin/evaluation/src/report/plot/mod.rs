//! The report's pictures.

mod levels;
mod rewards;
mod tradeoff;

use super::{Report, delta};
use crate::svg::{Look, Shape, colour};

/// All pictures there can be, by their file's name; none where the data for it is missing.
pub(super) fn all(report: &Report) -> [(&'static str, Option<String>); 4] {
    [
        ("flops.svg", tradeoff::flops(report)),
        ("time.svg", tradeoff::time(report)),
        ("levels.svg", levels::levels(report)),
        ("rewards.svg", rewards::rewards(report)),
    ]
}

/// The same look for a method in all pictures. The configured threshold stands out among the others.
fn look(report: &Report, name: &str) -> Look {
    let (colour, shape) = match name {
        name if report.configured.as_deref() == Some(name) => (colour::BLUE, Shape::Diamond),
        "target" => (colour::BLACK, Shape::Square),
        "draft" => (colour::GREY, Shape::Plus),
        "draft-sampled" => (colour::GREY, Shape::Ring),
        "target-sampled" => (colour::BLACK, Shape::Ring),
        name if delta(name).is_some() => (colour::BLUE, Shape::Disc),
        name if name.starts_with("best-of-") => (colour::GREEN, Shape::Up),
        name if name.starts_with("majority-of-") => (colour::PURPLE, Shape::Down),
        name if name.starts_with("oracle-") => (colour::ORANGE, Shape::HollowDiamond),
        _ => (colour::VERMILION, Shape::Cross),
    };
    Look::new(colour, shape)
}

/// A share of 1 as a tick.
fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}
