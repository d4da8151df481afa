//! What the recorded rewards predict for thresholds that were not tried.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An estimate with its 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfidenceInterval {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// The prediction for one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PredictedPoint {
    /// The threshold.
    pub delta: f64,
    /// Acceptance rate (steps): accepted steps over scored steps.
    pub acceptance: ConfidenceInterval,
    /// Acceptance rate (tokens): tokens of accepted steps over tokens of scored steps.
    pub token_acceptance: ConfidenceInterval,
    /// Seconds of the target alone over seconds of RSD; absent until both models' speeds were observed.
    #[serde(alias = "speed_up")]
    pub speedup: Option<ConfidenceInterval>,
    /// 1 minus FLOPs of RSD over FLOPs of the target alone, with every prefill counted; absent if the size of a model
    /// is unknown.
    pub flops_saving: Option<ConfidenceInterval>,
}

/// The observations that a prediction is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PredictionBasis {
    /// Scored steps that were recorded.
    pub steps: usize,
    /// Answers that these steps belong to.
    pub answers: usize,
    /// When the oldest of these steps was scored, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    pub costs: UnitCosts,
}

/// Observed seconds per token; a value is absent until it was observed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnitCosts {
    /// Seconds in which the draft decodes one token.
    pub draft_decode: Option<f64>,
    /// Seconds in which the draft prefills one token.
    pub draft_prefill: Option<f64>,
    /// Seconds in which the target decodes one token.
    pub target_decode: Option<f64>,
    /// Seconds in which the target prefills one token.
    pub target_prefill: Option<f64>,
    /// Seconds in which the reward model scores one step.
    pub reward_step: Option<f64>,
}

/// Answer of `GET /admin/v1/preview`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyPreview {
    pub basis: PredictionBasis,
    /// The prediction for the active threshold; absent until a step was scored.
    pub now: Option<PredictedPoint>,
    /// The prediction for each threshold of the query; empty until a step was scored.
    pub curve: Vec<PredictedPoint>,
}

/// The prediction in the answer to a dry run that changes the threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangePrediction {
    pub basis: PredictionBasis,
    /// Under the policy in effect.
    pub now: PredictedPoint,
    /// Under the requested policy.
    pub then: PredictedPoint,
}
