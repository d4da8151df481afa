//! The weighting functions omega of the RSD paper (arXiv 2501.19324, section 3).

use rsd_protocol::policy::{PolicyConfig, Weighting};

/// Probability that a drafted step with this reward is kept.
///
/// The extremes hold for every weighting that looks at the threshold: `delta <= 0` keeps all, `delta > 1` none.
#[must_use]
pub fn keep_probability(policy: &PolicyConfig, reward: f64) -> f64 {
    if policy.weighting.uses_delta() {
        if policy.delta <= 0.0 {
            return 1.0;
        }
        if policy.delta > 1.0 {
            return 0.0;
        }
    }
    // NaN is no verdict: it keeps nothing.
    if reward.is_nan() {
        return 0.0;
    }
    let r = reward.clamp(0.0, 1.0);
    match policy.weighting {
        Weighting::Binary => f64::from(u8::from(r >= policy.delta)),
        Weighting::Constant => policy.p,
        Weighting::Clipping => r,
        Weighting::Sigmoidal => r / (1.0 + r),
        Weighting::Logistic => 1.0 / (1.0 + (-policy.alpha * (r - policy.delta)).exp()),
    }
}
