//! The threshold of `mode: budget`: it sends the fraction gamma of the drafted steps to the target.
//!
//! Under a budget of target steps the best omega is the binary step whose delta is the gamma-quantile of the draft's
//! rewards (arXiv 2501.19324, section 3). Here that quantile is taken over the newest `WINDOW` rewards, at a level
//! that an account corrects. The account holds the *debt* D = steps sent - gamma * steps noted:
//!
//! ```text
//! level(D) = gamma - (pi v / 2B) tan(pi D / 2B)    with v = gamma (1 - gamma) and B = BOUND
//! ```
//!
//! D is a random walk of variance v per step. This is the correction of least mean square that keeps such a walk
//! within +-B: next to nothing around zero, without limit at the bound. A level of 0 or below keeps every step, one of
//! 1 or above sends every step, and at |D| >= B it is one of the two. So D stays within -B - gamma and B + 1 - gamma
//! whatever the rewards are, and over any 1,000 steps after the warm-up the rate differs from gamma by at most
//! (2B + 1) / 1000 = 1.98 points: also for a stream that knows the threshold. It needs what [`Budget::note`] asks for,
//! a floor of 0, a ceiling of 1, and verdicts: a step without one is sent whatever the threshold is.
//!
//! Many rewards may be equal, a judge's grades for instance. Then no threshold sends gamma of them: at the value v
//! too few go, just above it too many. The threshold takes turns between the two, and the debt says whose turn it is.
//!
//! Nothing winds up: while the floor or the ceiling binds, what it causes is not charged to the account, and the debt
//! never counts for more than B + 1 steps.
//!
//! A step costs one search and one shift in a sorted list of at most `WINDOW` numbers (4 kB).

use std::{collections::VecDeque, f64::consts::FRAC_PI_2};

use rsd_protocol::{
    live::BudgetState,
    policy::{Mode, PolicyConfig},
};

/// How many rewards the quantile is taken over.
const WINDOW: usize = 500;

/// The debt, in steps, at which the threshold stops looking at rewards.
const BOUND: f64 = 9.4;

/// The lowest threshold that no reward passes.
const SENDS_ALL: f64 = 1.0f64.next_up();

/// Finds the threshold that keeps to the budget.
#[derive(Debug, Clone, Default)]
pub struct Budget {
    rewards: Window,
    account: Account,
}

impl Budget {
    /// A budget that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The threshold that judges the next step: a step is kept when its reward is not below it.
    ///
    /// It lies between floor and ceiling, but for a ceiling of 1: then it may be just above 1, where none is kept.
    /// During the warm-up it is `policy.delta`.
    #[must_use]
    pub fn delta(&self, policy: &PolicyConfig) -> f64 {
        if self.is_warming_up(policy) { policy.delta } else { self.choose(policy).0 }
    }

    /// What became of a drafted step; without a verdict, `reward` is `None`.
    ///
    /// To be called in the order of the verdicts and before the next threshold is asked for: each step judged in
    /// between may add one to the debt. Under `mode: fixed` the reward is remembered and nothing is charged, so that a
    /// change to `mode: budget` needs no warm-up.
    pub fn note(&mut self, policy: &PolicyConfig, reward: Option<f64>, sent: bool) {
        let charged = policy.mode == Mode::Budget;
        let warming_up = self.is_warming_up(policy);
        if charged {
            let terms = Terms::of(policy);
            if self.account.terms != Some(terms) {
                self.account = Account::new(terms);
            }
            let held = if warming_up { Held::No } else { self.choose(policy).1 };
            self.account.charge(sent, held);
        }
        if let Some(reward) = reward.filter(|reward| (0.0..=1.0).contains(reward)) {
            self.rewards.push(reward);
        }
        if charged && warming_up && !self.is_warming_up(policy) {
            // What the warm-up sent was not the budget's choice.
            self.account = Account::new(Terms::of(policy));
        }
    }

    /// Where the budget stands. It begins at the end of the warm-up and anew whenever gamma, floor or ceiling change;
    /// during the warm-up the figures are the warm-up's.
    #[must_use]
    pub fn state(&self, policy: &PolicyConfig) -> BudgetState {
        let account = self.account.under(policy);
        let warming_up = self.is_warming_up(policy);
        BudgetState {
            gamma: policy.gamma,
            realised: if account.noted == 0 { 0.0 } else { account.sent as f64 / account.noted as f64 },
            judged: account.noted,
            warming_up,
            held: !warming_up && self.choose(policy).1 != Held::No,
        }
    }

    fn is_warming_up(&self, policy: &PolicyConfig) -> bool {
        self.rewards.seen < u64::from(policy.warm_up.max(1))
    }

    /// The threshold after the warm-up, and what kept it from being the one wanted.
    fn choose(&self, policy: &PolicyConfig) -> (f64, Held) {
        let debt = self.account.under(policy).debt;
        let wanted = self.rewards.quantile(level(policy.gamma, debt), debt < 0.0);
        let highest = if policy.ceiling >= 1.0 { SENDS_ALL } else { policy.ceiling };
        if wanted < policy.floor {
            (policy.floor, Held::ByFloor)
        } else if wanted > highest {
            (highest, Held::ByCeiling)
        } else {
            (wanted, Held::No)
        }
    }
}

/// The part of the rewards that is to lie below the threshold; outside 0 to 1 where the debt leaves no choice.
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

/// The bound that keeps the threshold from the one wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    No,
    ByFloor,
    ByCeiling,
}

/// What an account is about; a change of it begins a new one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Terms {
    gamma: f64,
    floor: f64,
    ceiling: f64,
}

impl Terms {
    fn of(policy: &PolicyConfig) -> Self {
        Self { gamma: policy.gamma, floor: policy.floor, ceiling: policy.ceiling }
    }
}

/// Steps noted and sent under one set of terms.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    terms: Option<Terms>,
    debt: f64,
    noted: u64,
    sent: u64,
}

impl Account {
    fn new(terms: Terms) -> Self {
        Self { terms: Some(terms), ..Self::default() }
    }

    /// This account if it is about the policy's terms, else an empty one.
    fn under(&self, policy: &PolicyConfig) -> Self {
        let terms = Terms::of(policy);
        if self.terms == Some(terms) { *self } else { Self::new(terms) }
    }

    fn charge(&mut self, sent: bool, held: Held) {
        self.noted += 1;
        self.sent += u64::from(sent);
        let gamma = self.terms.map_or(0.0, |terms| terms.gamma);
        let debt = self.debt + f64::from(u8::from(sent)) - gamma;
        let debt = match held {
            Held::No => debt,
            Held::ByFloor => debt.min(self.debt.max(0.0)),
            Held::ByCeiling => debt.max(self.debt.min(0.0)),
        };
        self.debt = debt.clamp(-BOUND - 1.0, BOUND + 1.0);
    }
}

/// The newest rewards, in the order they came and sorted.
#[derive(Debug, Clone, Default)]
struct Window {
    order: VecDeque<f64>,
    sorted: Vec<f64>,
    /// All rewards ever.
    seen: u64,
}

impl Window {
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

    /// The threshold with this part of the rewards below it. Where equal rewards leave none, `up` says whether it is
    /// the one that sends more of them or fewer.
    fn quantile(&self, level: f64, up: bool) -> f64 {
        if level <= 0.0 {
            return 0.0;
        }
        if level >= 1.0 {
            return SENDS_ALL;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the length")]
        let at = (level * self.sorted.len() as f64) as usize;
        match self.sorted.get(at) {
            Some(value) if up => value.next_up(),
            Some(value) => *value,
            None => SENDS_ALL,
        }
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
