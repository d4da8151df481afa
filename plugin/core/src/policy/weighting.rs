//! The weighting functions omega of the RSD paper (arXiv 2501.19324, section 3).

use rsd_protocol::policy::{PolicyConfig, ThresholdMode, WeightingFunction};

/// Probability that the policy accepts a draft step of this reward; `None` stands for a step that could not be scored.
///
/// The extremes hold for every weighting that depends on the threshold: `delta <= 0` accepts every step, `delta > 1`
/// none. Elsewhere a step without a reward is rejected.
#[must_use]
pub fn acceptance_probability(policy: &PolicyConfig, reward: Option<f64>) -> f64 {
    if policy.weighting.uses_delta() {
        if policy.delta <= 0.0 {
            return 1.0;
        }
        if policy.delta > 1.0 {
            return 0.0;
        }
    }
    let Some(reward) = reward.filter(|reward| !reward.is_nan()) else { return 0.0 };
    let r = reward.clamp(0.0, 1.0);
    match policy.weighting {
        WeightingFunction::Binary => f64::from(u8::from(r >= policy.delta)),
        WeightingFunction::Constant => policy.constant_probability,
        WeightingFunction::Clipping => r,
        WeightingFunction::Sigmoidal => r / (1.0 + r),
        WeightingFunction::Logistic => 1.0 / (1.0 + (-policy.logistic_steepness * (r - policy.delta)).exp()),
    }
}

/// Whether every draft step is accepted, even one without a reward: the draft answers alone.
#[must_use]
pub fn accepts_all(policy: &PolicyConfig) -> bool {
    policy.mode == ThresholdMode::Fixed && acceptance_probability(policy, None) >= 1.0
}

/// Whether no draft step is accepted, whatever its reward is: the target answers alone.
#[must_use]
pub fn accepts_none(policy: &PolicyConfig) -> bool {
    policy.mode == ThresholdMode::Fixed && acceptance_probability(policy, Some(1.0)) <= 0.0
}
