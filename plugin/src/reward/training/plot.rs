//! A report as a picture: calibration, accuracy at coverage, and AUC by position, side by side in one SVG.

use rsd_evaluation::svg::{Axis, Look, Panel, Shape, colour, document};

use super::{
    metrics::Bin,
    report::{AtPosition, Figure, Quality, Report},
};

/// Width and height of a panel's frame.
const FRAME: (f64, f64) = (280.0, 260.0);

/// The picture; its colours are told apart by marks too.
pub fn svg(report: &Report) -> String {
    document(vec![calibration(report), coverage(report), positions(report)])
}

/// Steps that end an answer, and all steps.
fn looks() -> (Look, Look) {
    (Look::new(colour::BLUE, Shape::Disc), Look::new(colour::VERMILION, Shape::Square))
}

fn share(title: &str) -> Axis {
    Axis::linear(title, 0.0, 1.0, |at| format!("{at:.1}"))
}

fn calibration(report: &Report) -> Panel {
    let mut panel = Panel::new("Calibration", share("mean reward"), share("share right"), FRAME);
    panel.line(&[(0.0, 0.0), (1.0, 1.0)], colour::GREY, "4 4");
    let points = |bins: &[Bin]| bins.iter().map(|bin| (bin.predicted, bin.observed)).collect();
    last_and_all(&mut panel, points(&report.last.bins), points(&report.all.bins));
    panel
}

fn coverage(report: &Report) -> Panel {
    let (x, y) = (share("share kept, best first"), share("share right among them"));
    let mut panel = Panel::new("Accuracy at coverage", x, y, FRAME);
    let points = |quality: &Quality| quality.coverage.iter().map(|way| (way.coverage, way.accuracy)).collect();
    last_and_all(&mut panel, points(&report.last), points(&report.all));
    panel
}

fn last_and_all(panel: &mut Panel, last: Vec<(f64, f64)>, all: Vec<(f64, f64)>) {
    let (of_last, of_all) = looks();
    for (name, points, look) in [("last step", last, of_last), ("all steps", all, of_all)] {
        panel.line(&points, look.colour, "");
        for point in points {
            panel.mark(point, look);
        }
        panel.explain(name, look);
    }
}

fn positions(report: &Report) -> Panel {
    // The axis starts where chance is, or lower if it must.
    let found = report.positions.iter().filter_map(|at| at.auc.map(|auc| auc.low));
    let bottom = if found.fold(1.0, f64::min) < 0.4 { 0.0 } else { 0.4 };
    let name = |at: &AtPosition| format!("{}{}", at.from, if at.and_later { "+" } else { "" });
    let names: Vec<String> = report.positions.iter().map(name).collect();
    let y = Axis::linear("AUC", bottom, 1.0, |at| format!("{at:.1}"));
    let mut panel = Panel::new("Ranking by position of the step", Axis::names("position", &names), y, FRAME);
    let right = names.len().max(1) as f64;
    panel.line(&[(0.0, 0.5), (right, 0.5)], colour::GREY, "4 4");
    let (of_last, of_all) = looks();
    for (index, at) in report.positions.iter().enumerate() {
        let Some(Figure { value, low, high }) = at.auc else { continue };
        let x = index as f64 + 0.5;
        panel.whisker(x, (low, high), of_all.colour);
        panel.mark((x, value), of_all);
    }
    if let Some(last) = report.rankings.first().and_then(|ranking| ranking.last) {
        panel.line(&[(0.0, last.value), (right, last.value)], of_last.colour, "");
    }
    panel.explain_line("last steps", of_last.colour, "");
    panel.explain("steps at the position", of_all);
    panel
}
