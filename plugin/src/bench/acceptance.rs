//! Speed against the target alone, at several acceptances.

use serde::{Deserialize, Serialize};

use super::{
    Bench, Spread, Way,
    cost::{Cost, predicted},
    meter::Meter,
};
use crate::pipeline::{PipelineError, trace::Source};

/// One acceptance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Share of steps that was to be kept.
    pub keeping: f64,
    /// Share of drafted tokens that was.
    pub tokens: f64,
    /// Seconds per token of the target alone over those of RSD.
    pub speed_up: Spread,
    /// Seconds predicted from the unit costs over seconds measured.
    pub predicted: Spread,
}

fn per_token(meter: &Meter) -> f64 {
    meter.seconds() / meter.outcome.completion_tokens.max(1) as f64
}

/// Measures at these shares of steps kept.
///
/// # Errors
/// A model failed.
pub async fn acceptance(bench: &Bench, keeping: &[f64], mut told: impl FnMut()) -> Result<Vec<Kept>, PipelineError> {
    let mut figures: Vec<_> = keeping.iter().map(|_| (Vec::new(), Vec::new(), 0, 0)).collect();
    for round in 0..=bench.rounds {
        let prompt = bench.prompt(round);
        let draft = bench.answer(prompt, Way::Draft, 0).await?;
        let target = bench.answer(prompt, Way::Target, 0).await?;
        let costs = Cost::of(&draft, Source::Draft).zip(Cost::of(&target, Source::Target));
        for (&share, (speed_ups, predictions, kept, drafted)) in keeping.iter().zip(&mut figures) {
            let meter = bench.answer(prompt, Way::Keeping(share, round), 0).await?;
            // The first round warms up; an answer of no length says nothing.
            let Some((of_draft, of_target)) = costs.filter(|_| round > 0) else { continue };
            let totals = &meter.outcome.trace.totals;
            speed_ups.push(per_token(&target) / per_token(&meter));
            predictions.push(predicted(&meter, of_draft, of_target) / meter.seconds());
            *kept += totals.accepted_tokens;
            *drafted += totals.accepted_tokens + totals.rejected_tokens;
        }
        told();
    }
    let rows = keeping.iter().zip(figures).filter_map(|(&keeping, (speed_ups, predictions, kept, drafted))| {
        let tokens = kept as f64 / drafted.max(1) as f64;
        Some(Kept { keeping, tokens, speed_up: Spread::of(speed_ups)?, predicted: Spread::of(predictions)? })
    });
    Ok(rows.collect())
}
