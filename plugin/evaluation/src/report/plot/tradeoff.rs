//! Accuracy against what it costs: FLOPs or seconds, as a part of the target's.

use super::{look, percent};
use crate::{
    report::{Method, Report},
    statistics::Figure,
    svg::{Axis, Panel, colour, document},
};

/// Accuracy against FLOPs, RSD's thresholds as a curve.
pub(super) fn flops(report: &Report) -> Option<String> {
    let x = "FLOPs (what is written, and what the reward reads), as a part of the target's";
    draw(report, "Accuracy and FLOPs", x, |method| {
        method.against_target.as_ref().and_then(|against| Some(against.flops?.with_prm.value))
    })
}

/// Accuracy against seconds, where they were measured.
pub(super) fn time(report: &Report) -> Option<String> {
    let target = report.method("target")?.timing?;
    let x = format!("time of an answer, as a part of the target's ({:.1} s)", target.seconds_per_question);
    draw(report, "Accuracy and time", &x, |method| method.timing?.against_target.map(|against| against.value))
}

/// None without another method to stand beside the target.
fn draw(report: &Report, title: &str, x: &str, cost: impl Fn(&Method) -> Option<f64>) -> Option<String> {
    let target = report.method("target")?;
    let others = report.methods.iter().filter(|method| method.name != target.name);
    let others: Vec<(&Method, f64)> =
        others.filter_map(|method| Some((method, cost(method)?))).filter(|(_, cost)| *cost > 0.0).collect();
    if others.is_empty() {
        return None;
    }
    // Methods that answered some of the questions stand where they do on these against the target: questions differ in
    // difficulty.
    let shown = |method: &Method| match method.against_target.as_ref() {
        Some(against) if method.questions < report.questions => {
            let level = target.accuracy.value;
            let Figure { value, low, high } = against.difference;
            let share = |difference: f64| (level + difference).clamp(0.0, 1.0);
            Figure { value: share(value), low: share(low), high: share(high) }
        }
        _ => method.accuracy,
    };
    let all: Vec<(&Method, f64)> = std::iter::once((target, 1.0)).chain(others).collect();
    let range = |values: &mut dyn Iterator<Item = (f64, f64)>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (a, b)| (low.min(a), high.max(b)))
    };
    let (left, right) = range(&mut all.iter().map(|(_, cost)| (*cost, *cost)));
    let (bottom, top) = range(&mut all.iter().map(|(method, _)| (shown(method).low, shown(method).high)));
    let mut panel = Panel::new(
        title,
        Axis::logarithmic(x, left, right, |at| ((1e6 * at).round() / 1e6).to_string()),
        Axis::linear("questions answered rightly", bottom, top, percent),
        (640.0, 420.0),
    );
    // What lies below this line is worse than the target.
    panel.line(&[(left / 10.0, target.accuracy.value), (right * 10.0, target.accuracy.value)], colour::GREY, "4 4");
    let curve: Vec<(f64, f64)> = report
        .sweep
        .iter()
        .filter_map(|name| all.iter().find(|(method, _)| method.name == *name))
        .map(|(method, cost)| (*cost, shown(method).value))
        .collect();
    panel.line(&curve, colour::BLUE, "");
    for (method, cost) in &all {
        let look = look(report, &method.name);
        let accuracy = shown(method);
        let point = (*cost, accuracy.value);
        panel.whisker(point.0, (accuracy.low, accuracy.high), look.colour);
        panel.mark(point, look);
        panel.label(point, &name(report, method), look.colour);
    }
    Some(document(vec![panel]))
}

/// Thresholds on the curve need no more than their number; fewer questions are said.
fn name(report: &Report, method: &Method) -> String {
    let name = match method.delta {
        Some(delta) if report.configured.as_ref() != Some(&method.name) => delta.to_string(),
        _ => method.name.clone(),
    };
    if method.questions < report.questions { format!("{name}, n = {}", method.questions) } else { name }
}
