//! A report as an SVG with three panels: calibration, accuracy at coverage, and AUC by position.

use rsd_evaluation::svg::{Axis, MarkShape, MarkStyle, Panel, color, document};
use rsd_statistics::Estimate;

use super::{
    metrics::CalibrationBin,
    report::{CalibrationQuality, PositionAuc, RewardReport},
};

/// Width and height of a panel's frame.
const FRAME: (f64, f64) = (280.0, 260.0);

/// The report as an SVG. Series differ in color and in mark.
pub fn svg(report: &RewardReport) -> String {
    document(vec![calibration(report), coverage(report), positions(report)])
}

/// The marks of steps that end an answer, and of all steps.
fn mark_styles() -> (MarkStyle, MarkStyle) {
    (MarkStyle::new(color::BLUE, MarkShape::Disc), MarkStyle::new(color::VERMILION, MarkShape::Square))
}

fn share(title: &str) -> Axis {
    Axis::linear(title, 0.0, 1.0, |at| format!("{at:.1}"))
}

fn calibration(report: &RewardReport) -> Panel {
    let mut panel = Panel::new("Calibration", share("mean reward"), share("share right"), FRAME);
    panel.line(&[(0.0, 0.0), (1.0, 1.0)], color::GRAY, "4 4");
    let points = |bins: &[CalibrationBin]| bins.iter().map(|bin| (bin.predicted, bin.observed)).collect();
    last_and_all(&mut panel, points(&report.last.bins), points(&report.all.bins));
    panel
}

fn coverage(report: &RewardReport) -> Panel {
    let (x, y) = (share("share accepted, best first"), share("share right among them"));
    let mut panel = Panel::new("Accuracy at coverage", x, y, FRAME);
    let points =
        |quality: &CalibrationQuality| quality.coverage.iter().map(|point| (point.coverage, point.accuracy)).collect();
    last_and_all(&mut panel, points(&report.last), points(&report.all));
    panel
}

fn last_and_all(panel: &mut Panel, last: Vec<(f64, f64)>, all: Vec<(f64, f64)>) {
    let (of_last, of_all) = mark_styles();
    for (name, points, style) in [("last step", last, of_last), ("all steps", all, of_all)] {
        panel.line(&points, style.color, "");
        for point in points {
            panel.mark(point, style);
        }
        panel.explain(name, style);
    }
}

fn positions(report: &RewardReport) -> Panel {
    // The axis starts near 0.5, which is chance, unless an interval is lower.
    let found = report.positions.iter().filter_map(|at| at.auc.map(|auc| auc.low));
    let bottom = if found.fold(1.0, f64::min) < 0.4 { 0.0 } else { 0.4 };
    let name = |at: &PositionAuc| format!("{}{}", at.from, if at.and_later { "+" } else { "" });
    let names: Vec<String> = report.positions.iter().map(name).collect();
    let y = Axis::linear("AUC", bottom, 1.0, |at| format!("{at:.1}"));
    let mut panel = Panel::new("Ranking by position of the step", Axis::names("position", &names), y, FRAME);
    let right = names.len().max(1) as f64;
    panel.line(&[(0.0, 0.5), (right, 0.5)], color::GRAY, "4 4");
    let (of_last, of_all) = mark_styles();
    for (index, at) in report.positions.iter().enumerate() {
        let Some(Estimate { value, low, high }) = at.auc else { continue };
        let x = index as f64 + 0.5;
        panel.whisker(x, (low, high), of_all.color);
        panel.mark((x, value), of_all);
    }
    if let Some(last) = report.rankings.first().and_then(|ranking| ranking.last) {
        panel.line(&[(0.0, last.value), (right, last.value)], of_last.color, "");
    }
    panel.explain_line("last steps", of_last.color, "");
    panel.explain("steps at the position", of_all);
    panel
}
