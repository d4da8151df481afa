//! What other thresholds would do, told from what the server saw.
//!
//! A [`Recorder`] keeps the newest judged steps, bounded, and the models' observed seconds per token. From them it
//! answers, for any policy: which fraction of steps and of drafted tokens would be kept, how fast that is against the
//! target alone, and how many FLOPs it saves, each with a 95 % interval.
//!
//! # How
//! Every recorded answer is walked step by step, in expectation. A step has reward r, d tokens by the draft, t tokens
//! by the target, and is kept with probability k = omega(r); U counts the tokens that the target has not read yet:
//!
//! ```text
//! draft writes   d             target writes  (1 - k) t
//! draft reads    (1 - k) t     target reads   (1 - k) U       U := k (U + d)
//! reward model   one step
//! ```
//!
//! Tokens times seconds per token give seconds, tokens times 2 N give FLOPs (N a model's parameters). The target alone
//! writes the answer that comes out, k d + (1 - k) t tokens per step. So
//! speed-up = seconds of the target alone / seconds of RSD, FLOP saving = 1 - FLOPs of RSD / FLOPs of the target alone.
//! A step's t is what the target wrote where it did; elsewhere d times the tokens of all the target's steps over the
//! tokens of the drafted steps they replaced.
//!
//! # What it takes for granted
//! - The draft's rewards do not depend on the threshold, though a step of the target changes what the draft sees. This
//!   is the main assumption.
//! - An answer has as many steps under another threshold as it had.
//! - The prompt is left out on both sides. A run's first token counts as a written one; so the fixed cost of a forward
//!   pass is in, and reading is priced per token on top.
//! - Seconds are the models' working seconds, one after the other. With a `lookahead` the draft goes on while a verdict
//!   is pending: the verdict's seconds count all the same, what was drafted ahead and thrown away does not.
//! - Unit costs are taken as exact. Intervals tell what the choice of answers leaves open, nothing else: they come from a
//!   bootstrap over answers, and are never narrower than Wilson's formula makes them for independent steps. That formula
//!   is all there is while one answer was seen.
//!
//! A step without a verdict counts as rejected, unless the policy keeps every step. Under `mode: budget` the threshold
//! is the one at which gamma of the recorded steps go to the target, within floor and ceiling, and of the rewards equal
//! to it so many are kept that gamma go.

mod costs;
mod estimate;
mod interval;
mod observer;
mod predict;
mod record;
mod work;

pub use estimate::{Estimate, Machine, Plan};
use parking_lot::Mutex;
use rsd_protocol::{
    policy::PolicyConfig,
    preview::{Prediction, Preview, UnitCosts},
};

use self::{costs::Costs, predict::Predictor, record::Record};

/// Probability that a policy keeps a step of this reward; a step without a verdict has the reward NaN.
pub type Keep = fn(&PolicyConfig, f64) -> f64;

/// A drafted step and its verdict.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// The answer it belongs to: one number per request, never used again.
    pub answer: u64,
    /// The verdict, in [0, 1]; `None` where there was none.
    pub reward: Option<f64>,
    /// Its tokens.
    pub draft_tokens: usize,
    /// Whether it stayed.
    pub kept: bool,
    /// When it was judged, in milliseconds since 1970.
    pub at_ms: u64,
}

/// Who ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// The draft.
    Draft,
    /// The target.
    Target,
}

/// A finished run of a model; a calibration run is one too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ran {
    /// Who ran.
    pub model: Model,
    /// Tokens sampled.
    pub generated: usize,
    /// Prompt tokens that no cache held.
    pub prefilled: usize,
    /// Seconds until the first token was sampled.
    pub prefill_seconds: f64,
    /// Seconds the model worked in all.
    pub seconds: f64,
}

/// Parameters without embeddings of the three models; 0 for a reward read in the draft's own pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The draft's.
    pub draft: u64,
    /// The reward model's.
    pub reward: u64,
    /// The target's.
    pub target: u64,
}

/// Remembers steps and costs, and predicts from them.
///
/// Notes take a lock for a few instructions; a prediction holds it only while it copies the record.
#[derive(Debug)]
pub struct Recorder {
    record: Mutex<Record>,
    costs: Mutex<Costs>,
}

impl Recorder {
    /// A recorder of at most so many steps; older answers are forgotten, whole.
    #[must_use]
    pub fn new(capacity_steps: usize) -> Self {
        Self { record: Mutex::new(Record::new(capacity_steps)), costs: Mutex::default() }
    }

    /// A drafted step was judged.
    pub fn judged(&self, step: Judged) {
        self.record.lock().judged(step);
    }

    /// The target wrote so many tokens in place of the newest rejected step of this answer.
    pub fn replaced(&self, answer: u64, target_tokens: usize) {
        self.record.lock().replaced(answer, target_tokens);
    }

    /// A run of a model has finished.
    pub fn ran(&self, run: Ran) {
        self.costs.lock().ran(run);
    }

    /// The reward model judged one step, for which it read so many tokens that no cache held. For a resident reward
    /// both are 0.
    pub fn scored(&self, seconds: f64, prefilled: usize) {
        self.costs.lock().scored(seconds, prefilled);
    }

    /// Observed seconds per token.
    #[must_use]
    pub fn costs(&self) -> UnitCosts {
        self.costs.lock().unit()
    }

    /// What is expected under the policy, and under it at each of these thresholds.
    #[must_use]
    pub fn preview(&self, policy: &PolicyConfig, keep: Keep, deltas: &[f64], sizes: Option<Sizes>) -> Preview {
        let predictor = self.predictor(keep, sizes);
        Preview {
            basis: predictor.basis(),
            now: predictor.point(policy),
            curve: deltas.iter().filter_map(|delta| predictor.point_at(policy, *delta)).collect(),
        }
    }

    /// What is expected under one policy and under another; nothing until a step was judged.
    #[must_use]
    pub fn predict(
        &self,
        now: &PolicyConfig,
        then: &PolicyConfig,
        keep: Keep,
        sizes: Option<Sizes>,
    ) -> Option<Prediction> {
        let predictor = self.predictor(keep, sizes);
        Some(Prediction { basis: predictor.basis(), now: predictor.point(now)?, then: predictor.point(then)? })
    }

    fn predictor(&self, keep: Keep, sizes: Option<Sizes>) -> Predictor {
        let recorded = self.record.lock().copy();
        let costs = *self.costs.lock();
        Predictor::new(recorded, costs, sizes, keep)
    }
}

#[cfg(test)]
mod tests;
