//! The threshold of `mode: budget`, which sends the fraction gamma of the draft steps to the target.
//!
//! Under a budget of target steps the best omega is the binary step whose delta is the gamma-quantile of the draft's
//! rewards (arXiv 2501.19324, section 3). Here that quantile is taken over the newest `WINDOW` rewards, at a level
//! that a ledger corrects. The ledger holds the *debt* D = rejected steps - gamma * recorded steps:
//!
//! ```text
//! level(D) = gamma - (pi v / 2B) tan(pi D / 2B)    with v = gamma (1 - gamma) and B = BOUND
//! ```
//!
//! D is a random walk of variance v per step. This is the correction of least mean square that keeps such a walk
//! within +-B: next to nothing around zero, without limit at the bound. A level of 0 or below accepts every step, one
//! of 1 or above rejects every step, and at |D| >= B it is one of the two. So D stays within -B - gamma and
//! B + 1 - gamma whatever the rewards are, and over any 1,000 steps after the warm-up the rate differs from gamma by at
//! most (2B + 1) / 1000 = 1.98 points, even for a stream of rewards that knows the threshold. This holds if
//! [`BudgetController::record_step`] is called as it asks, with a floor of 0 and a ceiling of 1, and if steps have
//! rewards: a step without one is rejected whatever the threshold is.
//!
//! Many rewards may be equal, for instance the grades of an LLM judge. Then no threshold rejects gamma of them: at
//! the value v it rejects too few, just above v too many. The threshold alternates between the two, and the debt says
//! which comes next.
//!
//! Nothing winds up: while the floor or the ceiling binds, what it causes is not charged to the ledger, and the debt
//! never counts for more than B + 1 steps.
//!
//! A step costs one search and one shift in a sorted list of at most `WINDOW` numbers (4 kB).

use std::{collections::VecDeque, f64::consts::FRAC_PI_2};

use rsd_protocol::{
    policy::{PolicyConfig, ThresholdMode},
    settings::BudgetState,
};

/// Number of rewards that the quantile is taken over.
const WINDOW: usize = 500;

/// The debt, in steps, at which the threshold no longer depends on rewards.
const BOUND: f64 = 9.4;

/// The lowest threshold that no reward reaches.
const REJECTS_ALL: f64 = 1.0f64.next_up();

/// Finds the threshold that meets the budget.
#[derive(Debug, Clone, Default)]
pub struct BudgetController {
    rewards: RewardWindow,
    ledger: BudgetLedger,
}

impl BudgetController {
    /// A budget without rewards or decisions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The threshold for the next step, which is accepted if its reward is not below it.
    ///
    /// It lies between floor and ceiling. With a ceiling of 1 it may be just above 1, where every step is rejected.
    /// During the warm-up it is `policy.delta`.
    #[must_use]
    pub fn delta(&self, policy: &PolicyConfig) -> f64 {
        if self.is_warming_up(policy) { policy.delta } else { self.choose(policy).0 }
    }

    /// Records the decision on a draft step; `reward` is `None` if the step could not be scored.
    ///
    /// It must be called in the order of the decisions and before the next call of [`Self::delta`]: each decision in
    /// between may add one to the debt. Under `mode: fixed` the reward is recorded and nothing is charged, so that a
    /// change to `mode: budget` needs no warm-up.
    pub fn record_step(&mut self, policy: &PolicyConfig, reward: Option<f64>, rejected: bool) {
        let charged = policy.mode == ThresholdMode::Budget;
        let warming_up = self.is_warming_up(policy);
        if charged {
            let terms = BudgetTerms::from_policy(policy);
            if self.ledger.terms != Some(terms) {
                self.ledger = BudgetLedger::new(terms);
            }
            let bound = if warming_up { BindingBound::Neither } else { self.choose(policy).1 };
            self.ledger.charge(rejected, bound);
        }
        if let Some(reward) = reward.filter(|reward| (0.0..=1.0).contains(reward)) {
            self.rewards.push(reward);
        }
        if charged && warming_up && !self.is_warming_up(policy) {
            // What was rejected during the warm-up was not the budget's choice.
            self.ledger = BudgetLedger::new(BudgetTerms::from_policy(policy));
        }
    }

    /// The state of the budget. Counting starts at the end of the warm-up, and again whenever gamma, floor or ceiling
    /// change. During the warm-up the numbers are those of the warm-up.
    #[must_use]
    pub fn state(&self, policy: &PolicyConfig) -> BudgetState {
        let ledger = self.ledger.under(policy);
        let warming_up = self.is_warming_up(policy);
        BudgetState {
            target_rate: policy.target_rate,
            observed_rate: if ledger.recorded == 0 { 0.0 } else { ledger.rejected as f64 / ledger.recorded as f64 },
            decided_steps: ledger.recorded,
            warming_up,
            saturated: !warming_up && self.choose(policy).1 != BindingBound::Neither,
        }
    }

    fn is_warming_up(&self, policy: &PolicyConfig) -> bool {
        self.rewards.seen < u64::from(policy.warm_up.max(1))
    }

    /// The threshold after the warm-up, and the bound that changed it.
    fn choose(&self, policy: &PolicyConfig) -> (f64, BindingBound) {
        let debt = self.ledger.under(policy).debt;
        let wanted = self.rewards.quantile(level(policy.target_rate, debt), debt < 0.0);
        let highest = if policy.ceiling >= 1.0 { REJECTS_ALL } else { policy.ceiling };
        if wanted < policy.floor {
            (policy.floor, BindingBound::Floor)
        } else if wanted > highest {
            (highest, BindingBound::Ceiling)
        } else {
            (wanted, BindingBound::Neither)
        }
    }
}

/// The fraction of rewards that should lie below the threshold; outside 0 to 1 where the debt leaves no choice.
fn level(gamma: f64, debt: f64) -> f64 {
    if debt >= BOUND {
        return 0.0;
    }
    if debt <= -BOUND {
        return 1.0;
    }
    let variance = gamma * (1.0 - gamma);
    gamma - FRAC_PI_2 / BOUND * variance * (FRAC_PI_2 * debt / BOUND).tan()
}

/// The bound that changed the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BindingBound {
    Neither,
    Floor,
    Ceiling,
}

/// The settings that a ledger belongs to; a change of them starts a new ledger.
#[derive(Debug, Clone, Copy, PartialEq)]
struct BudgetTerms {
    target_rate: f64,
    floor: f64,
    ceiling: f64,
}

impl BudgetTerms {
    fn from_policy(policy: &PolicyConfig) -> Self {
        Self { target_rate: policy.target_rate, floor: policy.floor, ceiling: policy.ceiling }
    }
}

/// Recorded and rejected steps under one set of terms.
#[derive(Debug, Clone, Copy, Default)]
struct BudgetLedger {
    terms: Option<BudgetTerms>,
    debt: f64,
    recorded: u64,
    rejected: u64,
}

impl BudgetLedger {
    fn new(terms: BudgetTerms) -> Self {
        Self { terms: Some(terms), ..Self::default() }
    }

    /// This ledger if it belongs to the policy's terms, otherwise an empty one.
    fn under(&self, policy: &PolicyConfig) -> Self {
        let terms = BudgetTerms::from_policy(policy);
        if self.terms == Some(terms) { *self } else { Self::new(terms) }
    }

    fn charge(&mut self, rejected: bool, bound: BindingBound) {
        self.recorded += 1;
        self.rejected += u64::from(rejected);
        let gamma = self.terms.map_or(0.0, |terms| terms.target_rate);
        let debt = self.debt + f64::from(u8::from(rejected)) - gamma;
        let debt = match bound {
            BindingBound::Neither => debt,
            BindingBound::Floor => debt.min(self.debt.max(0.0)),
            BindingBound::Ceiling => debt.max(self.debt.min(0.0)),
        };
        self.debt = debt.clamp(-BOUND - 1.0, BOUND + 1.0);
    }
}

/// The newest rewards, in order of arrival and sorted.
#[derive(Debug, Clone, Default)]
struct RewardWindow {
    order: VecDeque<f64>,
    sorted: Vec<f64>,
    /// Number of all rewards so far.
    seen: u64,
}

impl RewardWindow {
    fn push(&mut self, reward: f64) {
        self.seen += 1;
        if self.order.len() >= WINDOW
            && let Some(oldest) = self.order.pop_front()
        {
            let at = self.sorted.partition_point(|other| *other < oldest);
            self.sorted.remove(at);
        }
        self.order.push_back(reward);
        let at = self.sorted.partition_point(|other| *other < reward);
        self.sorted.insert(at, reward);
    }

    /// The threshold with this fraction of the rewards below it. Where equal rewards allow no such threshold, `up`
    /// selects the one that rejects more of them.
    fn quantile(&self, level: f64, up: bool) -> f64 {
        if level <= 0.0 {
            return 0.0;
        }
        if level >= 1.0 {
            return REJECTS_ALL;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the length")]
        let at = (level * self.sorted.len() as f64) as usize;
        match self.sorted.get(at) {
            Some(value) if up => value.next_up(),
            Some(value) => *value,
            None => REJECTS_ALL,
        }
    }
}

#[cfg(test)]
mod tests;
