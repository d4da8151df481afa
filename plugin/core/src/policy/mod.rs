//! The decision on a draft step: the weighting function omega, its threshold, and the snapshot of settings in force.
//!
//! A [`SettingsSnapshot`] is immutable, and [`PolicyHandle`] replaces one by the next atomically. Each step is decided
//! by one snapshot, whatever changes meanwhile.

mod budget;
pub mod handover;
mod weighting;

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rsd_protocol::settings::{ActiveThreshold, RuntimeSettings};

use budget::BudgetController;
use handover::{AnswerStanding, HandoverController, NextModel};
pub use rsd_protocol::policy::{
    AfterRejection, AnswerRoute, PolicyConfig, PolicyError, PolicyPreset, ThresholdMode, WeightingFunction,
};
pub use weighting::{acceptance_probability, accepts_all, accepts_none};

/// The runtime settings in force, with the number of the change that made them.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingsSnapshot {
    /// Counts changes since the start; the first is 1.
    pub revision: u64,
    /// The settings.
    pub settings: RuntimeSettings,
}

impl SettingsSnapshot {
    /// The policy for requests under a model name; a preset of that name is applied.
    #[must_use]
    pub fn policy(&self, name: Option<&str>) -> Policy {
        let preset = name.and_then(|name| self.settings.presets.iter().find(|preset| preset.name == name));
        let values = preset.map_or(self.settings.policy, |preset| preset.apply(self.settings.policy));
        Policy { revision: self.revision, values }
    }
}

/// The policy that decides on one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// The revision of the settings it comes from.
    pub revision: u64,
    /// Its values.
    pub values: PolicyConfig,
}

/// The decision on one draft step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The step becomes part of the answer.
    Accept,
    /// The target generates the step instead.
    Reject,
}

impl Policy {
    /// Decides on a step; `reward` is `None` for a step that could not be scored, `u` is the step's own draw from
    /// U[0, 1).
    #[must_use]
    pub fn decide(&self, reward: Option<f64>, u: f64) -> Decision {
        // u lies in [0, 1): a probability of 1 always accepts and one of 0 never does.
        if u < acceptance_probability(&self.values, reward) { Decision::Accept } else { Decision::Reject }
    }

    /// Whether every draft step is accepted, even one without a reward: the draft answers alone.
    #[must_use]
    pub fn accepts_all(&self) -> bool {
        accepts_all(&self.values)
    }

    /// Whether no draft step can be accepted and the target therefore answers without the draft.
    #[must_use]
    pub fn never_drafts(&self) -> bool {
        self.values.after_rejection == AfterRejection::Auto && accepts_none(&self.values)
    }
}

/// The settings of a running server, shared by all its requests.
#[derive(Debug)]
pub struct PolicyHandle {
    current: ArcSwap<SettingsSnapshot>,
    budget: Mutex<BudgetController>,
    handover: Arc<HandoverController>,
}

impl PolicyHandle {
    /// Puts the first settings in force.
    ///
    /// # Errors
    /// A field of the policy is out of range.
    pub fn new(settings: RuntimeSettings) -> Result<Self, PolicyError> {
        settings.policy.validate()?;
        Ok(Self {
            current: ArcSwap::from_pointee(SettingsSnapshot { revision: 1, settings }),
            budget: Mutex::new(BudgetController::new()),
            handover: Arc::default(),
        })
    }

    /// The settings in force now under a handle of its own, which shares what was learned for `after_rejection: auto`
    /// and nothing else: neither later changes nor the budget.
    ///
    /// # Errors
    /// A field of the policy is out of range.
    pub fn detached(&self) -> Result<Self, PolicyError> {
        Ok(Self { handover: self.handover.clone(), ..Self::new(self.current().settings.clone())? })
    }

    /// What was learned of speeds and answers.
    #[must_use]
    pub fn handover(&self) -> &HandoverController {
        &self.handover
    }

    /// Decides which model goes on with an answer under this policy.
    #[must_use]
    pub fn next_model(&self, policy: &Policy, standing: &AnswerStanding) -> NextModel {
        let values = policy.values;
        let delta = if values.mode == ThresholdMode::Budget { self.budget.lock().delta(&values) } else { values.delta };
        self.handover.next_model(&PolicyConfig { delta, ..values }, standing)
    }

    /// The settings in force now.
    #[must_use]
    pub fn current(&self) -> Arc<SettingsSnapshot> {
        self.current.load_full()
    }

    /// Replaces the settings for every step decided from now on. A server's settings are replaced by its `Control`
    /// alone, which numbers revisions.
    ///
    /// # Errors
    /// A field of the policy is out of range; the old settings stay in force.
    #[cfg(test)]
    pub fn replace_settings(&self, settings: &RuntimeSettings) -> Result<Arc<SettingsSnapshot>, PolicyError> {
        settings.policy.validate()?;
        self.current.rcu(|old| SettingsSnapshot { revision: old.revision + 1, settings: settings.clone() });
        Ok(self.current())
    }

    /// Puts settings in force that the owner of the revision history has checked and numbered.
    pub fn set_snapshot(&self, snapshot: SettingsSnapshot) {
        self.current.store(Arc::new(snapshot));
    }

    /// Decides on a step with which the answer has `tokens` tokens, and returns the policy with the threshold that
    /// decided. `reward` is `None` for a step that could not be scored; `u` is the step's own draw from U[0, 1).
    #[must_use]
    pub fn decide_step(&self, policy: Policy, tokens: usize, reward: Option<f64>, u: f64) -> (Decision, Policy) {
        let policy = Policy { values: policy.values.at(tokens), ..policy };
        // Threshold, decision and ledger change under one lock: another request's step cannot come between them.
        let mut budget = self.budget.lock();
        let (decision, decided_by) = match (policy.values.mode, reward) {
            (ThresholdMode::Fixed, _) => (policy.decide(reward, u), policy),
            // A step without a reward is rejected, even where the budget accepts every step that has one.
            (ThresholdMode::Budget, None) => (Decision::Reject, policy),
            (ThresholdMode::Budget, Some(_)) => {
                let delta = budget.delta(&policy.values);
                let policy = Policy { values: PolicyConfig { delta, ..policy.values }, ..policy };
                (policy.decide(reward, u), policy)
            }
        };
        // Under a fixed threshold too: the budget then knows the rewards when it takes over.
        budget.record_step(&policy.values, reward, decision == Decision::Reject);
        (decision, decided_by)
    }

    /// The threshold that decides on the next step of a request without overrides.
    #[must_use]
    pub fn active_threshold(&self) -> ActiveThreshold {
        let policy = self.current().settings.policy;
        if policy.mode == ThresholdMode::Fixed {
            return ActiveThreshold { delta: policy.delta, budget: None };
        }
        let budget = self.budget.lock();
        ActiveThreshold { delta: budget.delta(&policy), budget: Some(budget.state(&policy)) }
    }
}

#[cfg(test)]
mod tests;
