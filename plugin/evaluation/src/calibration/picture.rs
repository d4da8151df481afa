//! The thresholds that were compared, as a picture.

use super::{ThresholdCandidate, ThresholdChoice};
use crate::{
    statistics::Estimate,
    svg::{Axis, MarkShape, MarkStyle, Panel, color, document},
};

/// Accuracy and FLOPs by threshold, as SVG, with the chosen threshold and the target.
#[must_use]
pub fn draw(choice: &ThresholdChoice) -> String {
    let accuracy = if choice.graded { "right answers" } else { "answers that agree with the target's" };
    // The target's accuracy is the same beside every threshold.
    let target = choice.candidates.first().map(|first| first.accuracy.value - first.difference.value);
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let ratio = |at: f64| ((1e6 * at).round() / 1e6).to_string();
    document(vec![
        panel(choice, "Accuracy", accuracy, target, percent, |candidate| candidate.accuracy),
        panel(choice, "FLOPs (with_prm)", "relative to the target's", Some(1.0), ratio, |candidate| candidate.flops),
    ])
}

fn panel(
    choice: &ThresholdChoice,
    title: &str,
    name: &str,
    target: Option<f64>,
    label: impl Fn(f64) -> String,
    value: impl Fn(&ThresholdCandidate) -> Estimate,
) -> Panel {
    let points: Vec<(f64, Estimate)> = choice.candidates.iter().map(|found| (found.delta, value(found))).collect();
    let range = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), at| (low.min(at), high.max(at)))
    };
    let (left, right) = range(&mut points.iter().map(|(delta, _)| *delta).chain([0.0]));
    let ends = points.iter().flat_map(|(_, estimate)| [estimate.low, estimate.high]);
    let (bottom, top) = range(&mut ends.chain(target).chain([0.0]));
    let x = Axis::linear("threshold (policy.delta)", left, right.max(left + 0.1), |at| format!("{at:.2}"));
    let mut panel = Panel::new(title, x, Axis::linear(name, bottom, top.max(0.1), label), (380.0, 280.0));
    if let Some(target) = target {
        panel.line(&[(left - 1.0, target), (right + 1.0, target)], color::GRAY, "4 4");
        panel.explain_line("target alone", color::GRAY, "4 4");
    }
    panel.line(&points.iter().map(|(delta, estimate)| (*delta, estimate.value)).collect::<Vec<_>>(), color::BLUE, "");
    for (place, (delta, estimate)) in points.iter().enumerate() {
        let shape = if choice.best == Some(place) { MarkShape::Diamond } else { MarkShape::Disc };
        let style = MarkStyle::new(if choice.best == Some(place) { color::VERMILION } else { color::BLUE }, shape);
        panel.whisker(*delta, (estimate.low, estimate.high), style.color);
        panel.mark((*delta, estimate.value), style);
        if choice.best == Some(place) {
            panel.label((*delta, estimate.value), &delta.to_string(), style.color);
            panel.explain("chosen", style);
        }
    }
    panel
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(deltas: &[f64], best: Option<usize>) -> ThresholdChoice {
        let estimate = |value: f64| Estimate { value, low: value - 0.1, high: value + 0.1 };
        let candidate = |&delta: &f64| ThresholdCandidate {
            delta,
            accuracy: estimate(0.5 + delta / 4.0),
            difference: estimate(delta / 4.0 - 0.2),
            flops: estimate(0.4 + delta),
            total_flops: estimate(0.5 + delta),
            time: None,
            target_calls: estimate(delta),
            holds: 0.9,
            chosen: 0.8,
        };
        ThresholdChoice { candidates: deltas.iter().map(candidate).collect(), best, questions: 40, graded: true }
    }

    #[test]
    fn every_threshold_has_a_mark_in_both_panels_and_the_chosen_one_is_named() {
        let svg = draw(&choice(&[0.0, 0.27, 0.45], Some(1)));
        // A disc begins so; the chosen one and the legend's are diamonds.
        assert_eq!(svg.matches("m-4 0a4 4").count(), 2 * 2, "{svg}");
        assert_eq!(svg.matches("m0 -5.2l").count(), 2 * 2, "{svg}");
        // A label and its outline.
        assert_eq!(svg.matches(">0.27</text>").count(), 2 * 2, "{svg}");
        assert!(svg.contains("target alone"));
    }

    #[test]
    fn a_single_threshold_and_none_that_meets_the_goal_are_drawn_too() {
        let svg = draw(&choice(&[0.3], None));
        assert!(!svg.contains("chosen") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(!draw(&choice(&[], None)).contains("NaN"));
    }
}
