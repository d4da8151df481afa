//! A report as Markdown tables.

use std::fmt::Write as _;

use rsd_statistics::Estimate;

use super::report::{CalibrationQuality, RankingResult, RewardReport};

/// The report as Markdown tables under second-level headings.
pub fn markdown(report: &RewardReport) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        text,
        "{} problems, {} solutions ({:.0} % right), {} steps. In brackets: 95 % intervals by bootstrap over problems.\n",
        report.problems,
        report.solutions,
        100.0 * report.right as f64 / report.solutions.max(1) as f64,
        report.steps
    );
    text.push_str(
        "## Ranking (AUC for \"the final answer is right\")\n\n| score | last step | all steps |\n|---|---|---|\n",
    );
    for RankingResult { name, last, all } in report.rankings.iter().chain([&report.advantage]) {
        let _ = writeln!(text, "| {name} | {} | {} |", format_estimate(*last), format_estimate(*all));
    }
    text.push_str("\n| position | steps | AUC of the reward |\n|---|---|---|\n");
    for at in &report.positions {
        let later = if at.and_later { " and later" } else { "" };
        let _ = writeln!(text, "| {}{later} | {} | {} |", at.from, at.steps, format_estimate(at.auc));
    }
    let both = |name: &str, of: fn(&CalibrationQuality) -> Option<Estimate>| {
        format!("| {name} | {} | {} |\n", format_estimate(of(&report.last)), format_estimate(of(&report.all)))
    };
    text.push_str("\n## Calibration\n\n| | last step | all steps |\n|---|---|---|\n");
    text.push_str(&both("share right", |quality| quality.good));
    text.push_str(&both("Brier score", |quality| quality.brier));
    text.push_str(&both("log loss", |quality| quality.log_loss));
    text.push_str(&both("calibration error, 10 bins of the same width", |quality| quality.ece));
    text.push_str(&both("calibration error, 10 bins of the same number of steps", |quality| quality.ece_by_mass));
    text.push_str(
        "\n## Accuracy at coverage (last step)\n\n| accepted | threshold | right among them |\n|---|---|---|\n",
    );
    for point in &report.last.coverage {
        let _ = writeln!(
            text,
            "| {:.0} % | {:.3} | {:.1} % |",
            100.0 * point.coverage,
            point.threshold,
            100.0 * point.accuracy
        );
    }
    text
}

fn format_estimate(estimate: Option<Estimate>) -> String {
    estimate.map_or_else(|| "-".to_owned(), |f| format!("{:.3} ({:.3} to {:.3})", f.value, f.low, f.high))
}
