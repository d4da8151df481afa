//! The account of one request: every step with its source, reward and cost, and the totals.

use serde::{Deserialize, Serialize};

use crate::{flops::Flops, pipeline::roles::StepEnd};

/// Who wrote a step that stayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The draft; its step was accepted.
    Draft,
    /// The target.
    Target,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Draft => "draft",
            Self::Target => "target",
        })
    }
}

/// Why the target wrote a step that no verdict sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// The reward model failed.
    RewardFailed,
    /// The reward model gave something that is no number in [0, 1].
    RewardInvalid,
    /// The reward model took too long.
    RewardTimeout,
    /// The draft failed; the target answers alone from here.
    DraftFailed,
    /// The draft's context is full; the target answers alone from here.
    DraftContext,
}

/// The drafted step that was thrown away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rejected {
    /// Its text.
    pub text: String,
    /// Its tokens, those written ahead of the verdict included.
    pub tokens: usize,
}

/// One step of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepTrace {
    /// Its place, from 0.
    pub index: usize,
    /// Who wrote it.
    pub source: Source,
    /// Its text.
    pub text: String,
    /// Its tokens in the vocabulary of the model that wrote it.
    pub tokens: usize,
    /// Why it ended.
    pub end: StepEnd,
    /// The verdict on the drafted step; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<f64>,
    /// The threshold in force.
    pub delta: f64,
    /// The policy's revision in force.
    pub revision: u64,
    /// The drafted step this one replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejected>,
    /// Why there was no verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
    /// Milliseconds the draft took.
    pub draft_ms: f64,
    /// Milliseconds the reward model took.
    pub reward_ms: f64,
    /// Milliseconds the target took.
    pub target_ms: f64,
}

/// What one model did for a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelTotals {
    /// Tokens generated, thrown-away ones included.
    pub generated: usize,
    /// Prompt tokens computed because no cache held them.
    pub prefilled: usize,
    /// Prompt tokens a cache held.
    pub cached: usize,
    /// Seconds the model worked; waiting for verdicts is no work.
    pub seconds: f64,
    /// Requests made to it.
    pub calls: usize,
}

impl ModelTotals {
    /// Adds one call.
    pub fn add(&mut self, generated: usize, prefilled: usize, prompt: usize, seconds: f64) {
        self.generated += generated;
        self.prefilled += prefilled;
        self.cached += prompt.saturating_sub(prefilled);
        self.seconds += seconds;
        self.calls += 1;
    }
}

/// Totals of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Drafted steps that stayed.
    pub accepted_steps: usize,
    /// Drafted steps the target replaced, fallbacks included. One that the deadline left without its replacement
    /// is no step of the answer and not counted; its cost is.
    pub rejected_steps: usize,
    /// Tokens of accepted steps.
    pub accepted_tokens: usize,
    /// Tokens of rejected steps.
    pub rejected_tokens: usize,
    /// Tokens drafted ahead of a verdict that turned out a rejection.
    pub wasted_lookahead_tokens: usize,
    /// The draft.
    pub draft: ModelTotals,
    /// The reward model; its `generated` stays 0.
    pub reward: ModelTotals,
    /// The target.
    pub target: ModelTotals,
    /// Seconds from the first call to the end.
    pub seconds: f64,
    /// Estimated FLOPs by the three accountings.
    pub flops: Option<Flops>,
}

impl Totals {
    /// Accepted over judged steps; absent where none was judged.
    #[must_use]
    pub fn step_acceptance(&self) -> Option<f64> {
        ratio(self.accepted_steps, self.rejected_steps)
    }

    /// Accepted over drafted tokens, the figure the paper's release prints.
    #[must_use]
    pub fn token_acceptance(&self) -> Option<f64> {
        ratio(self.accepted_tokens, self.rejected_tokens)
    }
}

fn ratio(yes: usize, no: usize) -> Option<f64> {
    (yes + no > 0).then(|| yes as f64 / (yes + no) as f64)
}

/// The whole account.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Every step of the answer, in order.
    pub steps: Vec<StepTrace>,
    /// Whether draft and target share token ids; if not, text was tokenised anew at step boundaries.
    pub shared_vocabulary: bool,
    /// Totals.
    pub totals: Totals,
}
