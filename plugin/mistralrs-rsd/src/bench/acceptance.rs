//! The part `acceptance`: the speedup over the target alone at several acceptance rates.

use rsd_core::pipeline::{PipelineError, trace::StepSource};
use serde::{Deserialize, Serialize};

use super::{
    BenchMode, BenchSetup, MedianRange,
    forward_cost::{ForwardCost, predicted_seconds},
    meter::MeteredAnswer,
};

/// The speedup at one acceptance rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AcceptanceRow {
    /// The acceptance rate (steps) that was asked for.
    pub acceptance: f64,
    /// The acceptance rate (tokens) that was measured.
    pub token_acceptance: f64,
    /// Seconds per token of the target alone over those of RSD.
    pub speedup: MedianRange,
    /// Seconds predicted from the unit costs over seconds measured.
    pub predicted: MedianRange,
}

fn seconds_per_token(answer: &MeteredAnswer) -> f64 {
    answer.seconds() / answer.outcome.completion_tokens.max(1) as f64
}

/// What the rounds at one acceptance rate gave.
#[derive(Default)]
struct RoundSamples {
    speedups: Vec<f64>,
    predictions: Vec<f64>,
    accepted_tokens: usize,
    drafted_tokens: usize,
}

/// Measures the speedup at these acceptance rates. `on_round` is called after each round.
///
/// # Errors
/// A model failed.
pub async fn acceptance(
    bench: &BenchSetup,
    rates: &[f64],
    mut on_round: impl FnMut(),
) -> Result<Vec<AcceptanceRow>, PipelineError> {
    let mut samples: Vec<RoundSamples> = rates.iter().map(|_| RoundSamples::default()).collect();
    for round in 0..=bench.rounds {
        let prompt = bench.prompt(round);
        let draft = bench.answer(prompt, BenchMode::Draft, 0).await?;
        let target = bench.answer(prompt, BenchMode::Target, 0).await?;
        let costs = ForwardCost::from_answer(&draft, StepSource::Draft)
            .zip(ForwardCost::from_answer(&target, StepSource::Target));
        for (&rate, samples) in rates.iter().zip(&mut samples) {
            let mixed = bench.answer(prompt, BenchMode::Acceptance(rate, round), 0).await?;
            // The first round is the warm-up. An answer of one token has no decode time to measure.
            let Some((draft_cost, target_cost)) = costs.filter(|_| round > 0) else { continue };
            let totals = &mixed.outcome.trace.totals;
            samples.speedups.push(seconds_per_token(&target) / seconds_per_token(&mixed));
            samples.predictions.push(predicted_seconds(&mixed, draft_cost, target_cost) / mixed.seconds());
            samples.accepted_tokens += totals.accepted_tokens;
            samples.drafted_tokens += totals.accepted_tokens + totals.rejected_tokens;
        }
        on_round();
    }
    let rows = rates.iter().zip(samples).filter_map(|(&acceptance, samples)| {
        Some(AcceptanceRow {
            acceptance,
            token_acceptance: samples.accepted_tokens as f64 / samples.drafted_tokens.max(1) as f64,
            speedup: MedianRange::from_values(samples.speedups)?,
            predicted: MedianRange::from_values(samples.predictions)?,
        })
    });
    Ok(rows.collect())
}
