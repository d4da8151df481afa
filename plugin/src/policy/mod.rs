//! When a drafted step is kept: the weighting function omega, its threshold delta, and the operator's switch.
//!
//! A [`Policy`] is immutable; [`PolicyHandle`] swaps one for the next atomically. A step reads one snapshot and
//! is judged by it whatever happens meanwhile.

mod weighting;

use std::sync::Arc;

use arc_swap::ArcSwap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use weighting::Weighting;

/// Who answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The draft writes, the reward judges, the target rewrites.
    #[default]
    Rsd,
    /// The draft alone.
    Draft,
    /// The target alone.
    Target,
}

/// The policy section of a deployment file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// omega: how a reward becomes a probability of keeping the step.
    pub weighting: Weighting,
    /// The threshold: at 0 or below every step of the draft is kept, above 1 none is.
    #[schemars(range(min = -1.0, max = 2.0))]
    pub delta: f64,
    /// Probability of keeping a step, for `weighting: constant`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub p: f64,
    /// Steepness, for `weighting: logistic`.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1000))]
    pub alpha: f64,
    /// Who answers.
    pub mode: Mode,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self { weighting: Weighting::Binary, delta: 0.7, p: 0.5, alpha: 10.0, mode: Mode::Rsd }
    }
}

/// Why a policy was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("policy.{field}: {expected}, found {found}")]
pub struct PolicyError {
    /// Which field.
    pub field: &'static str,
    /// What it may hold.
    pub expected: &'static str,
    /// What it held.
    pub found: f64,
}

impl PolicyConfig {
    /// Refuses numbers that mean nothing.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let check = |ok: bool, field, expected, found| {
            if ok { Ok(()) } else { Err(PolicyError { field, expected, found }) }
        };
        check(
            self.delta.is_finite() && (-1.0..=2.0).contains(&self.delta),
            "delta",
            "a number from -1 to 2 (rewards lie in 0 to 1)",
            self.delta,
        )?;
        check((0.0..=1.0).contains(&self.p), "p", "a probability from 0 to 1", self.p)?;
        check(
            self.alpha.is_finite() && self.alpha > 0.0 && self.alpha <= 1000.0,
            "alpha",
            "a number above 0, at most 1000",
            self.alpha,
        )
    }

    /// Probability that a drafted step with this reward is kept.
    ///
    /// The extremes hold for every weighting that looks at the reward: `delta <= 0` keeps all, `delta > 1` none.
    #[must_use]
    pub fn keep_probability(&self, reward: f64) -> f64 {
        self.weighting.apply(reward, self)
    }
}

/// A validated policy in force, with the number of the change that made it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Counts changes since the start; the first policy is 1.
    pub revision: u64,
    /// Its values.
    pub values: PolicyConfig,
}

/// A verdict on one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The step stays.
    Accept,
    /// The target writes it anew.
    Reject,
}

impl Policy {
    /// Decides on a step; `u` is the step's own draw from U(0, 1).
    #[must_use]
    pub fn decide(&self, reward: f64, u: f64) -> Decision {
        let keep = self.values.keep_probability(reward);
        // u lies in [0, 1): `u < 1` always accepts and `u < 0` never does.
        if u < keep { Decision::Accept } else { Decision::Reject }
    }

    /// Whether every drafted step stays whatever its reward is, even if it has none: the draft answers alone.
    #[must_use]
    pub fn keeps_all(&self) -> bool {
        self.values.keep_probability(f64::NAN) >= 1.0
    }
}

/// The policy as the running server holds it.
#[derive(Debug)]
pub struct PolicyHandle(ArcSwap<Policy>);

impl PolicyHandle {
    /// Puts a first policy in force.
    ///
    /// # Errors
    /// A field out of range.
    pub fn new(values: PolicyConfig) -> Result<Self, PolicyError> {
        values.validate()?;
        Ok(Self(ArcSwap::from_pointee(Policy { revision: 1, values })))
    }

    /// The policy in force now.
    #[must_use]
    pub fn current(&self) -> Arc<Policy> {
        self.0.load_full()
    }

    /// Replaces the policy, for every step judged from now on.
    ///
    /// # Errors
    /// A field out of range; the old policy stays.
    pub fn replace(&self, values: PolicyConfig) -> Result<Arc<Policy>, PolicyError> {
        values.validate()?;
        self.0.rcu(|old| Policy { revision: old.revision + 1, values });
        Ok(self.current())
    }
}

#[cfg(test)]
mod tests;
