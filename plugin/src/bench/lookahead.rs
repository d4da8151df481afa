//! Drafting on while a verdict is pending: what it saves, and what it throws away.

use serde::{Deserialize, Serialize};

use super::{Bench, Spread, Way};
use crate::pipeline::PipelineError;

/// Steps ahead that are tried.
const AHEAD: [usize; 3] = [0, 1, 2];

/// One lookahead at one acceptance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ahead {
    /// Share of steps that is kept.
    pub keeping: f64,
    /// Steps that the draft may be ahead.
    pub lookahead: usize,
    /// Seconds over those without lookahead.
    pub time: Spread,
    /// Seconds of verdicts over all seconds.
    pub verdicts: Spread,
    /// Tokens drafted ahead and thrown away, over tokens of the answer.
    pub wasted: Spread,
}

/// Measures lookahead 0, 1 and 2 at these acceptances.
///
/// # Errors
/// A model failed.
pub async fn lookahead(bench: &Bench, keeping: &[f64], mut told: impl FnMut()) -> Result<Vec<Ahead>, PipelineError> {
    let mut table = Vec::new();
    for &share in keeping {
        let mut figures = AHEAD.map(|_| [Vec::new(), Vec::new(), Vec::new()]);
        for round in 0..=bench.rounds {
            let prompt = bench.prompt(round);
            let mut without = None;
            for (lookahead, [times, verdicts, wasted]) in AHEAD.into_iter().zip(&mut figures) {
                let meter = bench.answer(prompt, Way::Keeping(share, round), lookahead).await?;
                let seconds = meter.seconds();
                let without = *without.get_or_insert(seconds);
                if round > 0 {
                    let tokens = meter.outcome.completion_tokens.max(1) as f64;
                    times.push(seconds / without);
                    verdicts.push(meter.verdicts() / seconds);
                    wasted.push(meter.outcome.trace.totals.wasted_lookahead_tokens as f64 / tokens);
                }
            }
            told();
        }
        for (lookahead, figures) in AHEAD.into_iter().zip(figures) {
            let [Some(time), Some(verdicts), Some(wasted)] = figures.map(Spread::of) else { continue };
            table.push(Ahead { keeping: share, lookahead, time, verdicts, wasted });
        }
    }
    Ok(table)
}
