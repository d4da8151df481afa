//! The trace of one answer: every step with its source, reward and cost, and the totals.

use serde::{Deserialize, Serialize};

use super::{
    flops::{Flops, ModelParameters, cost},
    price::{AnswerCost, RolePrices, TokenPrice},
    roles::{Step, StepEnd},
};
use crate::policy::{Policy, handover::HandoverReason};

/// The model that generated a step of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepSource {
    /// The draft; its step was accepted.
    Draft,
    /// The target.
    Target,
}

impl std::fmt::Display for StepSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Draft => "draft",
            Self::Target => "target",
        })
    }
}

/// Why a step was decided without a reward, or why one model answers without the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FallbackReason {
    /// The reward model failed.
    RewardFailed,
    /// The reward model returned something that is no number in [0, 1].
    RewardInvalid,
    /// The reward model took too long.
    RewardTimeout,
    /// The reward model has no opinion on the step.
    RewardNoOpinion,
    /// The draft failed; the target answers alone from here.
    DraftFailed,
    /// The context of the draft is full; the target answers alone from here.
    DraftContext,
    /// The target failed; the draft answers alone from here.
    TargetFailed,
}

/// The reward of a draft step, or the reason why there is none.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum StepReward {
    /// The reward model scored the step.
    Scored {
        /// r in [0, 1].
        reward: f64,
        /// Seconds that the reward model took.
        seconds: f64,
    },
    /// A check found a false statement. The reward counts as 0.
    False {
        /// What is false.
        statement: String,
        /// Seconds that scoring took.
        seconds: f64,
    },
    /// The policy decides without a reward.
    Unavailable(FallbackReason),
}

impl StepReward {
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Scored { reward, .. } => Some(*reward),
            Self::False { .. } => Some(0.0),
            Self::Unavailable(_) => None,
        }
    }

    /// The reward that the policy decides by: a false step counts as one without a reward, which every weighting
    /// rejects.
    pub fn decisive(&self) -> Option<f64> {
        match self {
            Self::Scored { reward, .. } => Some(*reward),
            Self::False { .. } | Self::Unavailable(_) => None,
        }
    }

    pub fn false_statement(&self) -> Option<&str> {
        match self {
            Self::False { statement, .. } => Some(statement),
            Self::Scored { .. } | Self::Unavailable(_) => None,
        }
    }

    pub fn fallback(&self) -> Option<FallbackReason> {
        match self {
            Self::Scored { .. } | Self::False { .. } => None,
            Self::Unavailable(reason) => Some(*reason),
        }
    }

    fn milliseconds(&self) -> f64 {
        match self {
            Self::Scored { seconds, .. } | Self::False { seconds, .. } => milliseconds(*seconds),
            Self::Unavailable(_) => 0.0,
        }
    }
}

/// A draft step with its reward and the policy that decided on it.
#[derive(Debug)]
pub(super) struct DecidedDraft {
    pub step: Step,
    pub reward: StepReward,
    pub policy: Policy,
}

/// The draft step that was discarded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RejectedStep {
    /// The text of the step.
    pub text: String,
    /// Tokens of the step and of what the draft generated ahead after it.
    pub tokens: usize,
    /// What the step states that is false, if that is why it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub false_statement: Option<String>,
}

/// One step of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepTrace {
    /// The position in the answer, from 0.
    pub index: usize,
    /// The model that generated the step.
    pub source: StepSource,
    /// The text of the step.
    pub text: String,
    /// Number of tokens in the vocabulary of the model that generated the step.
    pub tokens: usize,
    /// Why the step ended.
    pub end: StepEnd,
    /// The reward of the draft step; absent where there was no score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<f64>,
    /// The threshold in force.
    pub delta: f64,
    /// The revision of the policy in force.
    pub revision: u64,
    /// The draft step that this one replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<RejectedStep>,
    /// Why there was no score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<FallbackReason>,
    /// Why the target decodes this step and all that follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handover: Option<HandoverReason>,
    /// Milliseconds that the draft took.
    pub draft_ms: f64,
    /// Milliseconds that the reward model took.
    pub reward_ms: f64,
    /// Milliseconds that the target took.
    pub target_ms: f64,
}

impl StepTrace {
    /// A step of a model that answers alone.
    pub(super) fn unscored(
        index: usize,
        source: StepSource,
        step: &Step,
        policy: Policy,
        fallback: Option<FallbackReason>,
    ) -> Self {
        let took = milliseconds(step.seconds);
        let (draft_ms, target_ms) = match source {
            StepSource::Draft => (took, 0.0),
            StepSource::Target => (0.0, took),
        };
        Self {
            index,
            source,
            text: step.text(),
            tokens: step.tokens.len(),
            end: step.end,
            reward: None,
            delta: policy.values.delta,
            revision: policy.revision,
            rejected: None,
            fallback,
            handover: None,
            draft_ms,
            reward_ms: 0.0,
            target_ms,
        }
    }

    /// A draft step that was accepted.
    pub(super) fn accepted(index: usize, draft: &DecidedDraft) -> Self {
        Self {
            reward: draft.reward.value(),
            reward_ms: draft.reward.milliseconds(),
            ..Self::unscored(index, StepSource::Draft, &draft.step, draft.policy, draft.reward.fallback())
        }
    }

    /// The target's step that replaces a rejected draft step; `discarded` is the number of tokens that the draft
    /// generated ahead of the rejection.
    pub(super) fn replacement(index: usize, step: &Step, draft: &DecidedDraft, discarded: usize) -> Self {
        let rejected = RejectedStep {
            text: draft.step.text(),
            tokens: draft.step.tokens.len() + discarded,
            false_statement: draft.reward.false_statement().map(str::to_owned),
        };
        Self {
            reward: draft.reward.value(),
            rejected: Some(rejected),
            draft_ms: milliseconds(draft.step.seconds),
            reward_ms: draft.reward.milliseconds(),
            ..Self::unscored(index, StepSource::Target, step, draft.policy, draft.reward.fallback())
        }
    }
}

fn milliseconds(seconds: f64) -> f64 {
    seconds * 1e3
}

/// What one model did for a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelTotals {
    /// Tokens generated, discarded ones included.
    pub generated: usize,
    /// Prompt tokens computed because no cache held them.
    pub prefilled: usize,
    /// Prompt tokens that a cache held.
    pub cached: usize,
    /// Seconds the model worked; waiting for scores is not counted.
    pub seconds: f64,
    /// Number of calls to the model.
    pub calls: usize,
}

impl ModelTotals {
    /// Adds one call; `prompt` is the number of prompt tokens, of which `prefilled` had to be computed.
    pub fn add_call(&mut self, generated: usize, prefilled: usize, prompt: usize, seconds: f64) {
        self.generated += generated;
        self.prefilled += prefilled;
        self.cached += prompt.saturating_sub(prefilled);
        self.seconds += seconds;
        self.calls += 1;
    }
}

/// Tokens that the draft proposed while the target decoded steps (`steps.proposals`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpeculationTotals {
    /// Verifications by the target.
    pub rounds: usize,
    /// Tokens that the draft proposed.
    pub proposed: usize,
    /// Proposed tokens that the target picked itself.
    pub accepted: usize,
}

impl SpeculationTotals {
    /// Adds the rounds of another step.
    pub fn add(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.proposed += other.proposed;
        self.accepted += other.accepted;
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Totals of one answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct AnswerTotals {
    /// Draft steps that were accepted.
    pub accepted_steps: usize,
    /// Draft steps that the target replaced, fallbacks included. A rejected step that the deadline left without a
    /// replacement is not part of the answer and not counted here; its cost is.
    pub rejected_steps: usize,
    /// Tokens of accepted steps.
    pub accepted_tokens: usize,
    /// Tokens of rejected steps.
    pub rejected_tokens: usize,
    /// Tokens that the draft generated ahead of a rejection.
    #[serde(alias = "wasted_lookahead_tokens")]
    pub discarded_lookahead_tokens: usize,
    /// The draft.
    pub draft: ModelTotals,
    /// The reward model; its `generated` stays 0.
    pub reward: ModelTotals,
    /// The target.
    pub target: ModelTotals,
    /// Tokens that the draft proposed inside the target's steps; absent where there were none.
    #[serde(default, skip_serializing_if = "SpeculationTotals::is_empty")]
    pub speculation: SpeculationTotals,
    /// Seconds from the first call to the end.
    pub seconds: f64,
    /// Estimated FLOPs in the three accountings; absent where a model's size is unknown.
    pub flops: Option<Flops>,
    /// What the tokens cost; absent where no model has a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<AnswerCost>,
}

impl AnswerTotals {
    /// The acceptance rate of steps; `None` if no step was decided.
    #[must_use]
    pub fn step_acceptance(&self) -> Option<f64> {
        ratio(self.accepted_steps, self.rejected_steps)
    }

    /// The acceptance rate of draft tokens, which the paper's release prints; `None` if no step was decided.
    #[must_use]
    pub fn token_acceptance(&self) -> Option<f64> {
        ratio(self.accepted_tokens, self.rejected_tokens)
    }

    /// Estimated FLOPs of all models together.
    #[must_use]
    pub fn flops(&self, parameters: ModelParameters) -> Flops {
        let [draft, reward, target] = self.flops_by_role(parameters);
        Flops {
            generated: draft.generated + reward.generated + target.generated,
            with_prm: draft.with_prm + reward.with_prm + target.with_prm,
            total: draft.total + reward.total + target.total,
        }
    }

    /// What the answer cost at these prices.
    #[must_use]
    pub fn cost(&self, prices: &RolePrices) -> AnswerCost {
        let cost = |price: Option<TokenPrice>, totals: &ModelTotals| {
            price.map_or(0.0, |price| price.of_tokens(totals.prefilled, totals.cached, totals.generated))
        };
        AnswerCost {
            draft: cost(prices.draft, &self.draft),
            target: cost(prices.target, &self.target),
            currency: prices.currency,
        }
    }

    /// Estimated FLOPs of draft, reward model and target, in this order.
    #[must_use]
    pub fn flops_by_role(&self, parameters: ModelParameters) -> [Flops; 3] {
        let generator = |model: &ModelTotals, n: u64| Flops::for_generator(model.generated, model.prefilled, n);
        let prefill = cost(self.reward.prefilled, parameters.reward);
        [
            generator(&self.draft, parameters.draft),
            Flops { generated: 0.0, with_prm: prefill, total: prefill },
            generator(&self.target, parameters.target),
        ]
    }
}

fn ratio(yes: usize, no: usize) -> Option<f64> {
    (yes + no > 0).then(|| yes as f64 / (yes + no) as f64)
}

/// The whole trace of one answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AnswerTrace {
    /// Every step of the answer, in order.
    pub steps: Vec<StepTrace>,
    /// Whether draft and target share token ids. If not, the text of a step is tokenized again for the other model.
    pub shared_vocabulary: bool,
    /// Whether the answer was drafted although the target was expected to cost less (`policy.exploration`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub explored: bool,
    /// The totals.
    pub totals: AnswerTotals,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_accountings_add_up() {
        let model = |generated, prefilled| ModelTotals { generated, prefilled, ..ModelTotals::default() };
        let totals =
            AnswerTotals { draft: model(10, 5), reward: model(0, 7), target: model(3, 2), ..AnswerTotals::default() };
        let flops = totals.flops(ModelParameters { draft: 1, reward: 10, target: 100 });
        assert_eq!(flops, Flops { generated: 620.0, with_prm: 760.0, total: 1170.0 });
    }
    #[test]
    fn a_trace_of_the_release_before_can_be_read() {
        let totals = AnswerTotals { discarded_lookahead_tokens: 7, ..AnswerTotals::default() };
        let json = serde_json::to_string(&totals).unwrap();
        assert!(json.contains("\"discarded_lookahead_tokens\":7"), "{json}");
        let old = json.replace("discarded_lookahead_tokens", "wasted_lookahead_tokens");
        assert_eq!(serde_json::from_str::<AnswerTotals>(&old).unwrap(), totals);
    }
}
