//! Accuracy by level.

use super::{mark_style, percent};
use crate::{
    report::{MethodReport, Report},
    svg::{Axis, Panel, document},
};

/// With more levels there is only the table.
const MOST: usize = 12;

/// `None` without levels, or with too many.
pub(super) fn levels(report: &Report) -> Option<String> {
    let methods: Vec<&MethodReport> = report.main_methods();
    if !(2..=MOST).contains(&report.levels.len()) || methods.is_empty() {
        return None;
    }
    let slot = 1.0 / (methods.len() as f64 + 1.5);
    let width = (report.levels.len() as f64 * (methods.len() as f64 + 1.5) * 17.0).max(380.0);
    let axis = Axis::names("level", &report.levels);
    let mut panel =
        Panel::new("Accuracy by level", axis, Axis::linear("right answers", 0.0, 1.0, percent), (width, 300.0));
    for (place, method) in methods.iter().enumerate() {
        let style = mark_style(report, &method.name);
        for at in &method.levels {
            let Some(level) = report.levels.iter().position(|level| *level == at.level) else { continue };
            let x = level as f64 + slot * (place as f64 + 1.25);
            panel.whisker(x, (at.accuracy.low, at.accuracy.high), style.color);
            panel.mark((x, at.accuracy.value), style);
        }
        panel.explain(&method.name, style);
    }
    Some(document(vec![panel]))
}
