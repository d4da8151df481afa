//! Draws where `after_rejection: auto` drafts, for `docs/after-rejection.md`.

use std::{env, fs};

use rsd_core::policy::handover::expected_cost::{
    AnswerOutlook, CLASSES, HORIZON, ModelPrices, PrefillDebt, StepOutlook, expected_costs,
};
use rsd_evaluation::svg::{Axis, MarkShape, MarkStyle, Panel, color, document};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/generated/after-rejection.svg");

/// Tokens of a step, and of the prompt.
const STEP: f64 = 40.0;
const PROMPT: f64 = 80.0;
/// The chance that a step is the last: answers of ten steps.
const ENDING: f64 = 0.1;

/// Every step is accepted with the same probability.
fn outlook(acceptance: f64) -> AnswerOutlook {
    let step = StepOutlook {
        ending: ENDING,
        accepted: [[0.0, 0.0, 0.0, 0.0, acceptance, 0.0]; CLASSES],
        rejected: [[0.0, 0.0, 0.0, 0.0, 0.0, 1.0 - acceptance]; CLASSES],
    };
    AnswerOutlook {
        draft_tokens: STEP,
        target_tokens: STEP,
        discarded_tokens: 0.0,
        steps: vec![step; HORIZON],
        steps_beyond: 1.0 / ENDING,
    }
}

/// Whether `auto` drafts where the draft decodes in this part of the target's time, and both models prefill a token in
/// this part of the time in which they decode one.
fn drafts(ratio: f64, prefill: f64, acceptance: f64, debt: PrefillDebt) -> bool {
    let prices = ModelPrices {
        draft_decode: ratio,
        draft_prefill: ratio * prefill,
        target_decode: 1.0,
        target_prefill: prefill,
        reward_step: 0.0,
    };
    let costs = expected_costs(&prices, &outlook(acceptance), debt, 0);
    costs.draft_on <= costs.target_alone
}

/// The highest ratio at which it drafts.
fn highest_ratio(prefill: f64, acceptance: f64, debt: PrefillDebt) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..30 {
        let middle = f64::midpoint(low, high);
        if drafts(middle, prefill, acceptance, debt) { low = middle } else { high = middle }
    }
    low
}

fn panel(title: &str, debt: PrefillDebt) -> Panel {
    let percent = |at: f64| format!("{:.0} %", 100.0 * at);
    let x = Axis::linear("acceptance rate", 0.0, 1.0, percent);
    let y = Axis::linear("draft decode over target decode", 0.0, 1.0, |at| format!("{at:.1}"));
    let mut panel = Panel::new(title, x, y, (300.0, 260.0));
    for (prefill, color, shape) in [
        (0.01, color::BLUE, MarkShape::Disc),
        (0.3, color::GREEN, MarkShape::Square),
        (0.65, color::VERMILION, MarkShape::Diamond),
    ] {
        let look = MarkStyle::new(color, shape);
        let at = |n: u32| (f64::from(n) / 40.0, highest_ratio(prefill, f64::from(n) / 40.0, debt));
        panel.line(&(0..=40).map(at).collect::<Vec<_>>(), color, "");
        (0..=40).step_by(8).for_each(|n| panel.mark(at(n), look));
        panel.explain(&format!("prefill {prefill}"), look);
    }
    panel
}

#[test]
fn the_drawing_of_where_auto_drafts_is_current() {
    let drawing = document(vec![
        panel("At the start", PrefillDebt { target: PROMPT, draft: PROMPT }),
        panel("After a step of the target", PrefillDebt { target: 0.0, draft: STEP }),
    ]);
    if env::var_os("RSD_BLESS").is_some() {
        fs::write(FILE, &drawing).unwrap();
    }
    let published = fs::read_to_string(FILE).unwrap_or_default();
    assert!(published == drawing, "{FILE} is not current; write it with RSD_BLESS=1 cargo test -p rsd-evaluation");
}

#[test]
fn the_boundary_rises_with_the_acceptance_rate_and_falls_with_the_price_of_prefill() {
    let debt = PrefillDebt { target: 0.0, draft: STEP };
    for acceptance in [0.2, 0.5, 0.8, 0.95] {
        assert!(highest_ratio(0.01, acceptance, debt) >= highest_ratio(0.3, acceptance, debt));
        assert!(highest_ratio(0.3, acceptance, debt) >= highest_ratio(0.65, acceptance, debt));
        assert!(highest_ratio(0.3, acceptance, debt) <= highest_ratio(0.3, acceptance + 0.05, debt));
    }
}
