//! The weighting functions omega of the RSD paper (arXiv 2501.19324, section 3).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PolicyConfig;

/// omega: how a reward r in [0, 1] becomes the probability of keeping a drafted step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// 1 when r >= delta, else 0: the paper's default and its optimum under a budget of target calls.
    #[default]
    Binary,
    /// p, whatever the reward.
    Constant,
    /// min(1, max(0, r)).
    Clipping,
    /// r / (1 + r).
    Sigmoidal,
    /// 1 / (1 + exp(-alpha (r - delta))).
    Logistic,
}

impl Weighting {
    /// Whether `delta` takes part.
    #[must_use]
    pub fn uses_delta(self) -> bool {
        matches!(self, Self::Binary | Self::Logistic)
    }

    pub(super) fn apply(self, reward: f64, values: &PolicyConfig) -> f64 {
        if self.uses_delta() {
            if values.delta <= 0.0 {
                return 1.0;
            }
            if values.delta > 1.0 {
                return 0.0;
            }
        }
        // NaN is no verdict: it keeps nothing.
        if reward.is_nan() {
            return 0.0;
        }
        let r = reward.clamp(0.0, 1.0);
        match self {
            Self::Binary => f64::from(u8::from(r >= values.delta)),
            Self::Constant => values.p,
            Self::Clipping => r,
            Self::Sigmoidal => r / (1.0 + r),
            Self::Logistic => 1.0 / (1.0 + (-values.alpha * (r - values.delta)).exp()),
        }
    }
}
