//! The part `lookahead`: what drafting ahead of a pending decision saves, and how many draft tokens it discards.

use rsd_core::pipeline::PipelineError;
use serde::{Deserialize, Serialize};

use super::{BenchMode, BenchSetup, MedianRange, meter::MeteredAnswer};

/// The values of `steps.lookahead` that are measured.
const LOOKAHEADS: [usize; 3] = [0, 1, 2];

/// One lookahead at one acceptance rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LookaheadRow {
    /// The acceptance rate (steps) that was asked for.
    pub acceptance: f64,
    /// The acceptance rate (tokens) that was measured. Discarded draft tokens have no decision and do not count.
    pub token_acceptance: f64,
    /// Steps that the draft may be ahead of the decisions.
    pub lookahead: usize,
    /// Seconds over the seconds without lookahead.
    pub time: MedianRange,
    /// Seconds of the reward model over all seconds.
    pub scoring: MedianRange,
    /// Draft tokens that were discarded without a decision, over tokens of the answers, all rounds together.
    pub discarded: f64,
}

/// Measures the lookaheads 0, 1 and 2 at these acceptance rates. `on_round` is called after each round.
///
/// # Errors
/// A model failed.
pub async fn lookahead(
    bench: &BenchSetup,
    rates: &[f64],
    mut on_round: impl FnMut(),
) -> Result<Vec<LookaheadRow>, PipelineError> {
    let mut table = Vec::new();
    for &acceptance in rates {
        let mut answers = LOOKAHEADS.map(|_| Vec::new());
        for round in 0..=bench.rounds {
            for (lookahead, answers) in LOOKAHEADS.into_iter().zip(&mut answers) {
                let mode = BenchMode::Acceptance(acceptance, round);
                let answer = bench.answer(bench.prompt(round), mode, lookahead).await?;
                // The first round is the warm-up.
                if round > 0 {
                    answers.push(answer);
                }
            }
            on_round();
        }
        let [baseline, ..] = &answers;
        let rows = LOOKAHEADS.into_iter().zip(&answers);
        table.extend(rows.filter_map(|(lookahead, answers)| row(acceptance, lookahead, answers, baseline)));
    }
    Ok(table)
}

/// The row of one lookahead; `baseline` are the same rounds without lookahead.
fn row(
    acceptance: f64,
    lookahead: usize,
    answers: &[MeteredAnswer],
    baseline: &[MeteredAnswer],
) -> Option<LookaheadRow> {
    let times = answers.iter().zip(baseline).map(|(answer, baseline)| answer.seconds() / baseline.seconds());
    let scoring = answers.iter().map(|answer| answer.scoring_seconds() / answer.seconds());
    let sum = |count: fn(&MeteredAnswer) -> usize| answers.iter().map(count).sum::<usize>() as f64;
    let accepted = sum(|answer| answer.outcome.trace.totals.accepted_tokens);
    let rejected = sum(|answer| answer.outcome.trace.totals.rejected_tokens);
    let completion = sum(|answer| answer.outcome.completion_tokens);
    let discarded = sum(|answer| answer.outcome.trace.totals.discarded_lookahead_tokens);
    Some(LookaheadRow {
        acceptance,
        token_acceptance: accepted / (accepted + rejected).max(1.0),
        lookahead,
        time: MedianRange::from_values(times)?,
        scoring: MedianRange::from_values(scoring)?,
        discarded: discarded / completion.max(1.0),
    })
}
