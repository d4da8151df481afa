//! Predicts the seconds of a model's runs from one plain run of it.

use rsd_core::pipeline::{roles::RunReport, trace::StepSource};

use super::meter::MeteredAnswer;

/// Seconds of a model's forward passes. A pass over p tokens takes `decode + (p - 1) * prefill`, so a pass over one
/// token costs as much as decoding one token.
#[derive(Debug, Clone, Copy)]
pub(super) struct ForwardCost {
    /// Seconds to decode one token.
    pub decode: f64,
    /// Seconds for each further token of a prefill.
    pub prefill: f64,
}

impl ForwardCost {
    /// The costs in an answer in which a model prefilled the whole prompt and decoded the rest alone. `None` if the
    /// answer is too short.
    pub fn from_answer(answer: &MeteredAnswer, source: StepSource) -> Option<Self> {
        let run = answer.runs_of(source).next()?;
        let decoded = run.forwards.checked_sub(1).filter(|decoded| *decoded > 0)?;
        let decode = (run.seconds - run.prefill_seconds) / decoded as f64;
        let prefilled = run.prefilled.checked_sub(1).filter(|prefilled| *prefilled > 0)?;
        Some(Self { decode, prefill: ((run.prefill_seconds - decode) / prefilled as f64).max(0.0) })
    }

    fn predict(self, run: &RunReport) -> f64 {
        self.decode * run.forwards.max(1) as f64 + self.prefill * run.prefilled.saturating_sub(1) as f64
    }
}

/// The seconds that an answer should have taken: the predicted time of both models and the measured time of the reward.
pub(super) fn predicted_seconds(answer: &MeteredAnswer, draft: ForwardCost, target: ForwardCost) -> f64 {
    let sum = |source, cost: ForwardCost| answer.runs_of(source).map(|run| cost.predict(run)).sum::<f64>();
    sum(StepSource::Draft, draft) + sum(StepSource::Target, target) + answer.scoring_seconds()
}
