//! Which model goes on: the draft, or the target to the end of the answer (`policy.after_rejection`).
//!
//! With `draft` the draft goes on after every step of the target, which is the loop of the paper. With `target` the
//! target goes on after the first rejection. With `auto` the [expected costs](expected_cost) of both are compared at
//! the start of an answer, after a rejection, after a step of the target and after every accepted step, at observed
//! prices and with what was learned of earlier answers.
//!
//! A policy that accepts every step leaves the answer to the draft whatever the prices are, and one that accepts none
//! leaves it to the target under `auto`: thresholds say which answers are wanted, prices only how they are made.
//!
//! While few answers were drafted (`learned`), `auto` drafts answers until their first rejection even where that seems
//! dearer, by a margin that falls with their number; until all prices were observed, it drafts on after that. Besides, a
//! fraction of the answers (`policy.exploration`) is drafted until the first rejection whatever it costs, and a fifth of
//! these to their end: otherwise nothing would be learned about the draft while the target answers alone.
//! `policy.max_regret` bounds what this costs.

pub mod expected_cost;
mod learned;
mod regret;
mod reward_history;

use parking_lot::Mutex;
use rsd_protocol::policy::{AfterRejection, PolicyConfig};
use serde::{Deserialize, Serialize};

use self::{
    expected_cost::{PrefillDebt, expected_costs},
    learned::LearnedAnswers,
};
use super::weighting::{acceptance_probability, accepts_all, accepts_none};
use crate::costs::RunCost;

/// The part of the exploring answers that are drafted to their end. Most are left to the target at their first
/// rejection, after which drafting costs most.
pub(crate) const WHOLE_ANSWERS: f64 = 0.2;

/// Why the target goes on alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandoverReason {
    /// A step was rejected, and the target goes on after a rejection.
    Rejection,
    /// The policy accepts no step.
    Threshold,
    /// Drafting on is expected to cost more.
    Price,
    /// Drafting on could exceed the bound on regret.
    Regret,
}

/// Which model goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextModel {
    /// The draft decodes the next step.
    Draft {
        /// Whether only the exploration lets it, although the target is expected to cost less.
        explores: bool,
    },
    /// The target decodes the rest of the answer.
    Target(HandoverReason),
}

/// How far an answer is drafted whatever it costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AnswerExploration {
    /// Not at all.
    #[default]
    None,
    /// Until its first rejection.
    UntilRejection,
    /// To its end.
    Whole,
}

impl AnswerExploration {
    /// For a draw from U[0, 1), where this fraction of the answers explores.
    #[must_use]
    pub fn from_draw(draw: f64, fraction: f64) -> Self {
        if draw < fraction * WHOLE_ANSWERS {
            Self::Whole
        } else if draw < fraction {
            Self::UntilRejection
        } else {
            Self::None
        }
    }
}

/// What was done for an answer so far, in tokens and scored steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkDone {
    /// Tokens that the draft decoded.
    pub draft_decoded: usize,
    /// Tokens that the draft prefilled.
    pub draft_prefilled: usize,
    /// Steps that were scored.
    pub scored: usize,
    /// Tokens that the target decoded.
    pub target_decoded: usize,
    /// Tokens that the target prefilled.
    pub target_prefilled: usize,
}

/// Where an answer stands between two steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AnswerStanding {
    /// Tokens of the prompt that the target must prefill.
    pub prompt_tokens: usize,
    /// Steps of the answer so far.
    pub steps: usize,
    /// Tokens of the answer so far.
    pub tokens: usize,
    /// Steps that may follow.
    pub steps_left: usize,
    /// Tokens that may follow.
    pub tokens_left: usize,
    /// Tokens that the draft has not prefilled.
    pub draft_behind: usize,
    /// Tokens that the target has not prefilled.
    pub target_behind: usize,
    /// The class of the newest reward; 0 before the first.
    pub reward_class: usize,
    /// Whether the newest draft step was rejected and the target has not replaced it yet.
    pub rejected: bool,
    /// How far the answer explores.
    pub exploration: AnswerExploration,
    /// What was done so far.
    pub done: WorkDone,
}

impl AnswerStanding {
    /// After the reward of a draft step.
    pub fn record_reward(&mut self, reward: Option<f64>) {
        self.reward_class = reward_history::class_of(reward);
    }

    /// Whether every draft step so far was accepted.
    fn never_rejected(&self) -> bool {
        !self.rejected && self.done.target_decoded == 0
    }

    /// The class of what the acceptance of the next draft step depends on.
    fn class(&self) -> usize {
        if self.never_rejected() { self.reward_class } else { reward_history::AFTER_REJECTION }
    }

    /// The standing after the target's step, if it has this many tokens.
    fn after_replacement(self, tokens: usize) -> Self {
        Self {
            steps: self.steps + 1,
            tokens: self.tokens + tokens,
            steps_left: self.steps_left.saturating_sub(1),
            tokens_left: self.tokens_left.saturating_sub(tokens),
            draft_behind: self.draft_behind + tokens,
            target_behind: 0,
            rejected: false,
            done: WorkDone {
                target_prefilled: self.done.target_prefilled + self.target_behind,
                target_decoded: self.done.target_decoded + tokens,
                ..self.done
            },
            ..self
        }
    }
}

/// Learns from the answers of a server, and decides which model goes on with an answer.
#[derive(Debug)]
pub struct HandoverController {
    learned: Mutex<LearnedAnswers>,
}

impl Default for HandoverController {
    fn default() -> Self {
        Self { learned: Mutex::new(LearnedAnswers::new()) }
    }
}

impl HandoverController {
    pub(crate) fn record_draft_run(&self, run: &RunCost) {
        self.learned.lock().costs.record_draft(run);
    }

    pub(crate) fn record_target_run(&self, run: &RunCost) {
        self.learned.lock().costs.record_target(run);
    }

    /// Records the seconds that scoring one step took.
    pub fn record_score(&self, seconds: f64) {
        self.learned.lock().costs.record_score(seconds, 0);
    }

    /// Records a draft step after the standing before it.
    pub fn record_draft_step(&self, before: &AnswerStanding, reward: Option<f64>, tokens: usize) {
        self.learned.lock().record_draft_step(before.steps, before.class(), reward, tokens);
    }

    /// Records the tokens that the draft decoded ahead of a rejection.
    pub fn record_discarded(&self, tokens: usize) {
        self.learned.lock().record_discarded(tokens);
    }

    /// Records the number of tokens of a step of the target.
    pub fn record_target_step(&self, tokens: usize) {
        self.learned.lock().record_target_step(tokens);
    }

    /// Records whether an answer ended with the step at this position. A step that a limit ended tells nothing.
    pub fn record_ending(&self, position: usize, ended: bool) {
        self.learned.lock().record_ending(position, ended);
    }

    /// Decides which model goes on. `policy` holds the threshold in force.
    #[must_use]
    pub fn next_model(&self, policy: &PolicyConfig, standing: &AnswerStanding) -> NextModel {
        const DRAFT: NextModel = NextModel::Draft { explores: false };
        let auto = policy.after_rejection == AfterRejection::Auto;
        if accepts_all(policy) {
            return DRAFT;
        }
        if auto && accepts_none(policy) {
            return NextModel::Target(HandoverReason::Threshold);
        }
        if policy.after_rejection == AfterRejection::Target && standing.rejected {
            return NextModel::Target(HandoverReason::Rejection);
        }
        if !auto && policy.max_regret.is_none() {
            return DRAFT;
        }
        let learned = self.learned.lock();
        let Some(prices) = learned.prices() else { return DRAFT };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of tokens")]
        let expected_step = learned.target_tokens().round() as usize;
        let (class, never_rejected) = (standing.class(), standing.never_rejected());
        let standing = if standing.rejected { standing.after_replacement(expected_step) } else { *standing };
        let acceptance = |tokens, reward| acceptance_probability(&policy.at(standing.tokens + tokens), reward);
        let outlook = learned.outlook(standing.steps, standing.steps_left, standing.tokens_left, acceptance);
        let optimism = if never_rejected { learned.optimism() } else { 0.0 };
        drop(learned);
        if policy.max_regret.is_some_and(|regret| regret::exceeds(regret, &prices, &outlook, &standing)) {
            return NextModel::Target(HandoverReason::Regret);
        }
        if !auto {
            return DRAFT;
        }
        let debt = PrefillDebt { target: standing.target_behind as f64, draft: standing.draft_behind as f64 };
        let costs = expected_costs(&prices, &outlook, debt, class);
        let explores = match standing.exploration {
            AnswerExploration::None => false,
            AnswerExploration::UntilRejection => never_rejected,
            AnswerExploration::Whole => true,
        };
        if costs.draft_on <= costs.target_alone * (1.0 + optimism) {
            DRAFT
        } else if explores {
            NextModel::Draft { explores: true }
        } else {
            NextModel::Target(HandoverReason::Price)
        }
    }
}

#[cfg(test)]
mod tests;
