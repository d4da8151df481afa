//! What the recorded rewards say of thresholds that were not tried.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An estimate with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// What is expected at one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// The threshold.
    pub delta: f64,
    /// Fraction of judged steps that are kept.
    pub acceptance: Interval,
    /// Fraction of drafted tokens that are kept.
    pub token_acceptance: Interval,
    /// Seconds of the target alone over seconds of RSD; absent until both models' speeds were seen.
    pub speed_up: Option<Interval>,
    /// 1 minus FLOPs of RSD over FLOPs of the target alone, every prefill counted; absent where a model's size is
    /// unknown.
    pub flops_saving: Option<Interval>,
}

/// What a prediction rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Basis {
    /// Judged steps recorded.
    pub steps: usize,
    /// Answers they belong to.
    pub answers: usize,
    /// When the oldest of them was judged, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Observed seconds per token.
    pub costs: UnitCosts,
}

/// Observed seconds per token; absent until observed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnitCosts {
    /// Draft, a generated token.
    pub draft_decode: Option<f64>,
    /// Draft, a prompt token read.
    pub draft_prefill: Option<f64>,
    /// Target, a generated token.
    pub target_decode: Option<f64>,
    /// Target, a prompt token read.
    pub target_prefill: Option<f64>,
    /// Reward model, a step.
    pub reward_step: Option<f64>,
}

/// Answer of `GET /admin/v1/preview`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Preview {
    /// What it rests on.
    pub basis: Basis,
    /// At the threshold in force; absent until a step was judged.
    pub now: Option<Point>,
    /// At each threshold asked for; empty until a step was judged.
    pub curve: Vec<Point>,
}

/// Part of the answer to a dry run that changes the threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prediction {
    /// What it rests on.
    pub basis: Basis,
    /// At the policy in force.
    pub now: Point,
    /// At the policy asked for.
    pub then: Point,
}
