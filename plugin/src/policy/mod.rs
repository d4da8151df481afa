//! When a drafted step is kept: the weighting function omega, its threshold, and the operator's switch.
//!
//! A [`Snapshot`] is immutable; [`PolicyHandle`] swaps one for the next atomically. A step reads one snapshot and
//! is judged by it whatever happens meanwhile.

mod budget;
mod weighting;

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rsd_protocol::live::{InForce, Live};

use budget::Budget;
pub use rsd_protocol::policy::{Answers, Mode, PolicyConfig, PolicyError, Preset, Weighting};
pub use weighting::keep_probability;

/// The hot settings in force, with the number of the change that made them.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Counts changes since the start; the first is 1.
    pub revision: u64,
    /// Their values.
    pub live: Live,
}

impl Snapshot {
    /// The policy for requests under a model name.
    #[must_use]
    pub fn policy(&self, name: Option<&str>) -> Policy {
        let preset = name.and_then(|name| self.live.presets.iter().find(|preset| preset.name == name));
        let values = preset.map_or(self.live.policy, |preset| preset.apply(self.live.policy));
        Policy { revision: self.revision, values }
    }
}

/// The policy that judges one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// The change that made it.
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
        let keep = keep_probability(&self.values, reward);
        // u lies in [0, 1): `u < 1` always accepts and `u < 0` never does.
        if u < keep { Decision::Accept } else { Decision::Reject }
    }

    /// Whether every drafted step stays whatever its reward is, even if it has none: the draft answers alone.
    #[must_use]
    pub fn keeps_all(&self) -> bool {
        self.values.mode == Mode::Fixed && keep_probability(&self.values, f64::NAN) >= 1.0
    }
}

/// The policy as the running server holds it.
#[derive(Debug)]
pub struct PolicyHandle {
    current: ArcSwap<Snapshot>,
    budget: Mutex<Budget>,
}

impl PolicyHandle {
    /// Puts the first settings in force.
    ///
    /// # Errors
    /// A field of the policy is out of range.
    pub fn new(live: Live) -> Result<Self, PolicyError> {
        live.policy.validate()?;
        Ok(Self { current: ArcSwap::from_pointee(Snapshot { revision: 1, live }), budget: Mutex::new(Budget::new()) })
    }

    /// The settings in force now.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Replaces the settings, for every step judged from now on. A server's are replaced by its `Control` alone, which
    /// numbers revisions.
    ///
    /// # Errors
    /// A field of the policy is out of range; the old settings stay.
    #[cfg(test)]
    pub(crate) fn replace(&self, live: Live) -> Result<Arc<Snapshot>, PolicyError> {
        live.policy.validate()?;
        self.current.rcu(|old| Snapshot { revision: old.revision + 1, live: live.clone() });
        Ok(self.current())
    }

    /// Puts settings in force that were checked and numbered by whoever keeps the history.
    pub(crate) fn put(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
    }

    /// Decides on a step, and says by which threshold. `reward` is absent where there is no verdict, `u` is the
    /// step's own draw from U(0, 1).
    #[must_use]
    pub fn judge(&self, policy: Policy, reward: Option<f64>, u: f64) -> (Decision, Policy) {
        // Threshold, verdict and account are one: another request's step cannot come between them.
        let mut budget = self.budget.lock();
        let (decision, judged) = match (policy.values.mode, reward) {
            (Mode::Fixed, _) => (policy.decide(reward.unwrap_or(f64::NAN), u), policy),
            // What is not judged is not kept, even where the budget keeps all that is.
            (Mode::Budget, None) => (Decision::Reject, policy),
            (Mode::Budget, Some(reward)) => {
                let delta = budget.delta(&policy.values);
                let policy = Policy { values: PolicyConfig { delta, ..policy.values }, ..policy };
                (policy.decide(reward, u), policy)
            }
        };
        // Under a fixed threshold too: the budget then knows the rewards when it is asked to take over.
        budget.note(&policy.values, reward, decision == Decision::Reject);
        (decision, judged)
    }

    /// What judges the next step of a request that brings no policy of its own.
    #[must_use]
    pub fn in_force(&self) -> InForce {
        let policy = self.current().live.policy;
        if policy.mode == Mode::Fixed {
            return InForce { delta: policy.delta, budget: None };
        }
        let budget = self.budget.lock();
        InForce { delta: budget.delta(&policy), budget: Some(budget.state(&policy)) }
    }
}

#[cfg(test)]
mod tests;
