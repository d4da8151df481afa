//! The distribution of rewards in right and in wrong answers.

use super::percent;
use crate::{
    report::{Report, RewardHistogram, RewardReport},
    svg::{Axis, Panel, color, document},
};

/// One panel per method that has rewards.
pub(super) fn rewards(report: &Report) -> Option<String> {
    let histograms = report.rewards.iter().flat_map(|rewards| [&rewards.right, &rewards.wrong]);
    let top = histograms.flat_map(shares).fold(0.05, f64::max);
    let panels = report.rewards.iter().map(|rewards| panel(rewards, top));
    (!report.rewards.is_empty()).then(|| document(panels.collect()))
}

/// All panels share the scale up to `top`, so that heights can be compared.
fn panel(rewards: &RewardReport, top: f64) -> Panel {
    let (right, wrong) = (shares(&rewards.right), shares(&rewards.wrong));
    let title = match rewards.auc_steps {
        Some(auc) => format!("{}: AUC {:.2}", rewards.method, auc.value),
        None => rewards.method.clone(),
    };
    let x = Axis::linear("reward of a drafted step", 0.0, 1.0, |at| format!("{at:.1}"));
    let mut panel = Panel::new(&title, x, Axis::linear("share of steps", 0.0, top, percent), (360.0, 260.0));
    panel.bars(&wrong, (0.0, 1.0), color::VERMILION, "5 3");
    panel.bars(&right, (0.0, 1.0), color::BLUE, "");
    panel.explain_line(&format!("right answers, {} steps", rewards.right.steps), color::BLUE, "");
    panel.explain_line(&format!("wrong answers, {} steps", rewards.wrong.steps), color::VERMILION, "5 3");
    panel
}

fn shares(histogram: &RewardHistogram) -> Vec<f64> {
    let share = |count: &usize| *count as f64 / histogram.steps.max(1) as f64;
    histogram.bins.iter().map(share).collect()
}
