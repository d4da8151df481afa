//! Accuracy against cost: FLOPs or seconds, relative to the target's, both with their intervals.

use super::{mark_style, percent};
use crate::{
    report::{MethodReport, Report},
    statistics::Estimate,
    svg::{Axis, Panel, color, document},
};

/// Accuracy against FLOPs, with RSD's thresholds as a curve.
pub(super) fn flops(report: &Report) -> Option<String> {
    let x = "FLOPs of decoding and reward scoring, relative to the target's";
    draw(report, "Accuracy and FLOPs", x, |method| {
        method.against_target.as_ref().and_then(|against| Some(against.flops?.with_prm))
    })
}

/// Accuracy against seconds, where they were measured.
pub(super) fn time(report: &Report) -> Option<String> {
    let target = report.method("target")?.timing?;
    let x = format!("time per answer, relative to the target's ({:.1} s)", target.seconds_per_question);
    draw(report, "Accuracy and time", &x, |method| method.timing?.against_target)
}

/// `None` without the target and another method.
fn draw(report: &Report, title: &str, x: &str, cost: impl Fn(&MethodReport) -> Option<Estimate>) -> Option<String> {
    let target = report.method("target")?;
    let others = report.methods.iter().filter(|method| method.name != target.name);
    let others: Vec<(&MethodReport, Estimate)> =
        others.filter_map(|method| Some((method, cost(method)?))).filter(|(_, cost)| cost.low > 0.0).collect();
    if others.is_empty() {
        return None;
    }
    // Questions differ in difficulty. A method that answered only some of them is drawn at the target's overall
    // accuracy plus its difference from the target on these questions.
    let shown = |method: &MethodReport| match method.against_target.as_ref() {
        Some(against) if method.questions < report.questions => {
            let level = target.accuracy.value;
            let Estimate { value, low, high } = against.difference;
            let share = |difference: f64| (level + difference).clamp(0.0, 1.0);
            Estimate { value: share(value), low: share(low), high: share(high) }
        }
        _ => method.accuracy,
    };
    let all: Vec<(&MethodReport, Estimate)> = std::iter::once((target, Estimate::exact(1.0))).chain(others).collect();
    let range = |values: &mut dyn Iterator<Item = (f64, f64)>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (a, b)| (low.min(a), high.max(b)))
    };
    let (left, right) = range(&mut all.iter().map(|(_, cost)| (cost.low, cost.high)));
    let (bottom, top) = range(&mut all.iter().map(|(method, _)| (shown(method).low, shown(method).high)));
    let mut panel = Panel::new(
        title,
        Axis::logarithmic(x, left, right, |at| ((1e6 * at).round() / 1e6).to_string()),
        Axis::linear("right answers", bottom, top, percent),
        (640.0, 420.0),
    );
    // Below this line a method is worse than the target.
    panel.line(&[(left / 10.0, target.accuracy.value), (right * 10.0, target.accuracy.value)], color::GRAY, "4 4");
    let curve: Vec<(f64, f64)> = report
        .sweep
        .iter()
        .filter_map(|name| all.iter().find(|(method, _)| method.name == *name))
        .map(|(method, cost)| (cost.value, shown(method).value))
        .collect();
    panel.line(&curve, color::BLUE, "");
    for (method, cost) in &all {
        let style = mark_style(report, &method.name);
        let accuracy = shown(method);
        let point = (cost.value, accuracy.value);
        panel.whisker(point.0, (accuracy.low, accuracy.high), style.color);
        panel.level_whisker((cost.low, cost.high), point.1, style.color);
        panel.mark(point, style);
        panel.label(point, &label(report, method), style.color);
    }
    Some(document(vec![panel]))
}

/// The label of a method. Thresholds on the curve are labeled by their number; `n` is added where questions are
/// missing.
fn label(report: &Report, method: &MethodReport) -> String {
    let name = match method.delta {
        Some(delta) if report.configured.as_ref() != Some(&method.name) => delta.to_string(),
        _ => method.name.clone(),
    };
    if method.questions < report.questions { format!("{name}, n = {}", method.questions) } else { name }
}
