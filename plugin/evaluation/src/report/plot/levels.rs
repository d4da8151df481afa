//! Accuracy by level.

use super::{look, percent};
use crate::{
    report::{Method, Report},
    svg::{Axis, Panel, document},
};

/// More are a table, not a picture.
const MOST: usize = 12;

/// None without levels, or with very many.
pub(super) fn levels(report: &Report) -> Option<String> {
    let methods: Vec<&Method> = report.main_methods();
    if !(2..=MOST).contains(&report.levels.len()) || methods.is_empty() {
        return None;
    }
    let slot = 1.0 / (methods.len() as f64 + 1.5);
    let width = (report.levels.len() as f64 * (methods.len() as f64 + 1.5) * 17.0).max(380.0);
    let axis = Axis::names("level", &report.levels);
    let mut panel = Panel::new(
        "Accuracy by level",
        axis,
        Axis::linear("questions answered rightly", 0.0, 1.0, percent),
        (width, 300.0),
    );
    for (place, method) in methods.iter().enumerate() {
        let look = look(report, &method.name);
        for at in &method.levels {
            let Some(level) = report.levels.iter().position(|level| *level == at.level) else { continue };
            let x = level as f64 + slot * (place as f64 + 1.25);
            panel.whisker(x, (at.accuracy.low, at.accuracy.high), look.colour);
            panel.mark((x, at.accuracy.value), look);
        }
        panel.explain(&method.name, look);
    }
    Some(document(vec![panel]))
}
