//! Predictions of what another threshold would do, from what the server observed.
//!
//! A [`StepRecorder`] keeps the newest decided steps, bounded, and the observed seconds per token of the models. From
//! them it predicts, for any policy: the acceptance rate of steps and of draft tokens, the speedup over the target
//! alone, and the FLOP savings, each with a 95 % interval.
//!
//! # Method
//! Every recorded answer is walked step by step, in expectation. A step has reward r, d tokens by the draft, t tokens
//! by the target, and is accepted with probability k = omega(r). U counts the tokens that the target has not
//! prefilled yet:
//!
//! ```text
//! draft decodes    d             target decodes   (1 - k) t
//! draft prefills   (1 - k) t     target prefills  (1 - k) U       U := k (U + d)
//! reward model     one step
//! ```
//!
//! Tokens times seconds per token give seconds, tokens times 2 N give FLOPs (N is the number of parameters of a
//! model). The target alone decodes the resulting answer, k d + (1 - k) t tokens per step. So
//! speedup = seconds of the target alone / seconds of RSD, FLOP savings = 1 - FLOPs of RSD / FLOPs of the target alone.
//! The t of a step is the number of tokens that the target generated for it. Where the target did not generate the
//! step, t is d times the ratio of all the target's tokens to the draft tokens that they replaced.
//!
//! This is the loop of the paper (`after_rejection: draft`). With `target` the walk is the same until the first
//! rejection, after which the target decodes every step: the draft goes on with the probability that all steps before
//! were accepted. For `auto` the prediction takes the one course among these two and the target alone that costs least
//! time for the recorded answers together, and adds the answers that explore. The loop decides for every step anew, so
//! it can be faster than that. The acceptance rates are those of drafting every step.
//!
//! # Assumptions
//! - The rewards of the draft do not depend on the threshold, although a step of the target changes what the draft
//!   continues. This is the main assumption.
//! - A step that the target decoded after it went on alone has no reward. Drafted, it is accepted with the mean
//!   probability of the recorded draft steps.
//! - An answer has as many steps under another threshold as it had.
//! - The prompt is left out on both sides. The first token of a run counts as a decoded one. So the fixed cost of a
//!   forward pass is included, and prefill is priced per token on top.
//! - Seconds are the seconds in which the models work, one after the other. With a `lookahead` the draft continues
//!   while a score is pending: the seconds of the score count all the same, discarded draft tokens do not.
//! - Unit costs are taken as exact. Intervals cover the choice of answers and nothing else: they come from a bootstrap
//!   over answers, and are never narrower than Wilson's formula makes them for independent steps. With one recorded
//!   answer they come from that formula alone.
//!
//! A step without a reward counts as rejected, unless the policy accepts every step. Under `mode: budget` the
//! threshold is the one at which gamma of the recorded steps are rejected, within floor and ceiling. Of the rewards
//! equal to it, as many are accepted as gamma allows.

mod course;
mod estimate;
mod interval;
mod observer;
mod predict;
mod record;
mod work;

pub use estimate::{DeploymentPlan, MachineSpec, SpeedupEstimate};
use parking_lot::Mutex;
use rsd_protocol::{
    policy::PolicyConfig,
    preview::{ChangePrediction, PolicyPreview, UnitCosts},
};

use self::{predict::PolicyPredictor, record::StepRecord};
use crate::costs::ObservedCosts;
use crate::pipeline::{
    flops::ModelParameters,
    observe::StepDecision,
    roles::{RunReport, StepScore},
    trace::StepSource,
};

/// Number of observed runs after which the speed in an old one counts for half.
const COST_HALF_LIFE: f64 = 300.0;

/// Records steps and costs, and predicts from them.
///
/// Recording takes a lock for a few instructions; a prediction holds it only while it copies the record.
#[derive(Debug)]
pub struct StepRecorder {
    record: Mutex<StepRecord>,
    costs: Mutex<ObservedCosts>,
}

impl StepRecorder {
    /// A recorder of at most this many steps. When it is full, the oldest answers are dropped as a whole.
    #[must_use]
    pub fn new(capacity_steps: usize) -> Self {
        Self {
            record: Mutex::new(StepRecord::new(capacity_steps)),
            costs: Mutex::new(ObservedCosts::new(COST_HALF_LIFE)),
        }
    }

    /// Records a decision on a step of an answer, made `at_ms` milliseconds after 1970. `answer` is the number of the
    /// answer, which no other answer has.
    pub fn record_decision(&self, answer: u64, decision: &StepDecision, at_ms: u64) {
        self.record.lock().record_decision(answer, decision, at_ms);
    }

    /// Records how many tokens the target generated in place of the newest rejected step of an answer.
    pub fn record_replacement(&self, answer: u64, target_tokens: usize) {
        self.record.lock().record_replacement(answer, target_tokens);
    }

    /// Records the tokens of a step that the target decoded after it went on alone.
    pub fn record_alone(&self, answer: u64, tokens: usize, at_ms: u64) {
        self.record.lock().record_alone(answer, tokens, at_ms);
    }

    /// Records the cost of a finished run; the warm-up is one too.
    pub fn record_run(&self, source: StepSource, report: &RunReport) {
        let mut costs = self.costs.lock();
        match source {
            StepSource::Draft => costs.record_draft(&report.cost()),
            StepSource::Target => costs.record_target(&report.cost()),
        }
    }

    /// Records the cost of scoring one step. A resident reward takes no time and prefills nothing.
    pub fn record_score(&self, score: &StepScore) {
        self.costs.lock().record_score(score.seconds, score.prefilled);
    }

    /// Observed seconds per token.
    #[must_use]
    pub fn unit_costs(&self) -> UnitCosts {
        self.costs.lock().unit_costs()
    }

    /// Predictions for the policy, and for the policy with each of these thresholds.
    #[must_use]
    pub fn preview(&self, policy: &PolicyConfig, deltas: &[f64], parameters: Option<ModelParameters>) -> PolicyPreview {
        let predictor = self.predictor(parameters);
        PolicyPreview {
            basis: predictor.basis(),
            now: predictor.point(policy),
            curve: deltas.iter().filter_map(|delta| predictor.point_at(policy, *delta)).collect(),
        }
    }

    /// Predictions for one policy and for another; `None` until a step was decided.
    #[must_use]
    pub fn predict(
        &self,
        now: &PolicyConfig,
        then: &PolicyConfig,
        parameters: Option<ModelParameters>,
    ) -> Option<ChangePrediction> {
        let predictor = self.predictor(parameters);
        Some(ChangePrediction { basis: predictor.basis(), now: predictor.point(now)?, then: predictor.point(then)? })
    }

    fn predictor(&self, parameters: Option<ModelParameters>) -> PolicyPredictor {
        let recorded = self.record.lock().copy();
        let costs = *self.costs.lock();
        PolicyPredictor::new(recorded, costs, parameters)
    }
}

#[cfg(test)]
mod tests;
