//! Drafting on while a verdict is pending: what it saves, and what it throws away.

use serde::{Deserialize, Serialize};

use super::{Bench, Spread, Way, meter::Meter};
use crate::pipeline::PipelineError;

/// Steps ahead that are tried.
const AHEAD: [usize; 3] = [0, 1, 2];

/// One lookahead at one acceptance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ahead {
    /// Share of steps that was to be kept.
    pub keeping: f64,
    /// Share of drafted tokens that was, of those that got a verdict.
    pub tokens: f64,
    /// Steps that the draft may be ahead.
    pub lookahead: usize,
    /// Seconds over those without lookahead.
    pub time: Spread,
    /// Seconds of verdicts over all seconds.
    pub verdicts: Spread,
    /// Tokens drafted ahead and thrown away, over tokens of the answers, all rounds together.
    pub wasted: f64,
}

/// Measures lookahead 0, 1 and 2 at these acceptances.
///
/// # Errors
/// A model failed.
pub async fn lookahead(bench: &Bench, keeping: &[f64], mut told: impl FnMut()) -> Result<Vec<Ahead>, PipelineError> {
    let mut table = Vec::new();
    for &share in keeping {
        let mut meters = AHEAD.map(|_| Vec::new());
        for round in 0..=bench.rounds {
            for (lookahead, meters) in AHEAD.into_iter().zip(&mut meters) {
                let meter = bench.answer(bench.prompt(round), Way::Keeping(share, round), lookahead).await?;
                // The first round warms up.
                if round > 0 {
                    meters.push(meter);
                }
            }
            told();
        }
        let [without, ..] = &meters;
        for (lookahead, meters) in AHEAD.into_iter().zip(&meters) {
            let times = meters.iter().zip(without).map(|(with, without)| with.seconds() / without.seconds());
            let verdicts = meters.iter().map(|meter| meter.verdicts() / meter.seconds());
            let (Some(time), Some(verdicts)) = (Spread::of(times), Spread::of(verdicts)) else { continue };
            let sum = |of: fn(&Meter) -> usize| meters.iter().map(of).sum::<usize>() as f64;
            let kept = sum(|meter| meter.outcome.trace.totals.accepted_tokens);
            let refused = sum(|meter| meter.outcome.trace.totals.rejected_tokens);
            let written = sum(|meter| meter.outcome.completion_tokens);
            let wasted = sum(|meter| meter.outcome.trace.totals.wasted_lookahead_tokens);
            table.push(Ahead {
                keeping: share,
                tokens: kept / (kept + refused).max(1.0),
                lookahead,
                time,
                verdicts,
                wasted: wasted / written.max(1.0),
            });
        }
    }
    Ok(table)
}
