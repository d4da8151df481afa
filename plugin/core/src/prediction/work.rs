//! The expected work on an answer in tokens and steps, and its price in seconds or FLOPs.

use std::{
    iter::Sum,
    ops::{Add, Mul},
};

use rsd_protocol::preview::UnitCosts;

use super::record::RecordedStep;
use crate::pipeline::flops::ModelParameters;

/// The expected work on some answers: sums of probabilities and of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct ExpectedWork {
    pub steps: f64,
    pub accepted: f64,
    pub drafted: f64,
    pub accepted_tokens: f64,
    pub scored: f64,
    pub draft_prefilled: f64,
    pub target_prefilled: f64,
    pub target_decoded: f64,
}

impl Add for ExpectedWork {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            accepted: self.accepted + other.accepted,
            drafted: self.drafted + other.drafted,
            accepted_tokens: self.accepted_tokens + other.accepted_tokens,
            scored: self.scored + other.scored,
            draft_prefilled: self.draft_prefilled + other.draft_prefilled,
            target_prefilled: self.target_prefilled + other.target_prefilled,
            target_decoded: self.target_decoded + other.target_decoded,
        }
    }
}

impl Mul<f64> for ExpectedWork {
    type Output = Self;

    fn mul(self, share: f64) -> Self {
        Self {
            steps: share * self.steps,
            accepted: share * self.accepted,
            drafted: share * self.drafted,
            accepted_tokens: share * self.accepted_tokens,
            scored: share * self.scored,
            draft_prefilled: share * self.draft_prefilled,
            target_prefilled: share * self.target_prefilled,
            target_decoded: share * self.target_decoded,
        }
    }
}

impl Sum for ExpectedWork {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), Self::add)
    }
}

impl ExpectedWork {
    /// RSD on one answer with the draft going on after a rejection, where each step is accepted with its own
    /// probability. `ratio` is the number of target tokens per draft token.
    pub fn rsd(steps: &[RecordedStep], probabilities: &[f64], ratio: f64) -> Self {
        let mut work = Self::default();
        let mut not_prefilled = 0.0;
        for (step, probability) in steps.iter().zip(probabilities) {
            let drafted = draft_tokens(step, ratio);
            let decoded = (1.0 - probability) * target_tokens(step, ratio);
            let step = Self {
                steps: 1.0,
                accepted: *probability,
                drafted,
                accepted_tokens: probability * drafted,
                scored: 1.0,
                draft_prefilled: decoded,
                target_prefilled: (1.0 - probability) * not_prefilled,
                target_decoded: decoded,
            };
            work = work + step;
            not_prefilled = probability * (not_prefilled + drafted);
        }
        work
    }

    /// RSD on one answer with the target going on after the first rejection. As long as the draft goes on, the target
    /// has prefilled nothing.
    pub fn until_rejection(steps: &[RecordedStep], probabilities: &[f64], ratio: f64) -> Self {
        let mut work = Self::default();
        let (mut drafting, mut not_prefilled) = (1.0, 0.0);
        for (step, probability) in steps.iter().zip(probabilities) {
            let drafted = draft_tokens(step, ratio);
            let rejected = drafting * (1.0 - probability);
            let accepted = drafting * probability;
            let step = Self {
                steps: drafting,
                accepted,
                drafted: drafting * drafted,
                accepted_tokens: accepted * drafted,
                scored: drafting,
                draft_prefilled: 0.0,
                target_prefilled: rejected * not_prefilled,
                target_decoded: (1.0 - accepted) * target_tokens(step, ratio),
            };
            work = work + step;
            drafting = accepted;
            not_prefilled += drafted;
        }
        work
    }

    /// The draft alone, without scores.
    pub fn draft_alone(steps: &[RecordedStep], ratio: f64) -> Self {
        let drafted: f64 = steps.iter().map(|step| draft_tokens(step, ratio)).sum();
        let steps = steps.len() as f64;
        Self { steps, accepted: steps, drafted, accepted_tokens: drafted, ..Self::default() }
    }

    /// The target alone.
    pub fn target_alone(steps: &[RecordedStep], ratio: f64) -> Self {
        let target_decoded = steps.iter().map(|step| target_tokens(step, ratio)).sum();
        Self { steps: steps.len() as f64, target_decoded, ..Self::default() }
    }

    pub fn acceptance(&self) -> f64 {
        self.accepted / self.steps
    }

    /// The acceptance rate of draft tokens; that of steps if all steps are empty.
    pub fn token_acceptance(&self) -> f64 {
        if self.drafted > 0.0 { self.accepted_tokens / self.drafted } else { self.acceptance() }
    }

    /// The cost of this work over the cost of the target alone for the resulting answer.
    pub fn relative_cost(&self, prices: &UnitPrices) -> f64 {
        let cost = self.drafted * prices.draft_decode
            + self.draft_prefilled * prices.draft_prefill
            + self.scored * prices.reward_step
            + self.target_decoded * prices.target_decode
            + self.target_prefilled * prices.target_prefill;
        cost / ((self.accepted_tokens + self.target_decoded) * prices.target_decode)
    }
}

fn draft_tokens(step: &RecordedStep, ratio: f64) -> f64 {
    if step.alone { target_tokens(step, ratio) / ratio } else { step.draft_tokens as f64 }
}

fn target_tokens(step: &RecordedStep, ratio: f64) -> f64 {
    step.target_tokens.map_or(ratio * step.draft_tokens as f64, |tokens| tokens as f64)
}

/// Tokens of the target's steps over tokens of the draft steps that they replaced; 1 until there is such a step.
pub(super) fn target_ratio(steps: &[RecordedStep]) -> f64 {
    let replaced =
        steps.iter().filter(|step| !step.alone).filter_map(|step| Some((step.draft_tokens, step.target_tokens?)));
    let (draft, target) = replaced.fold((0, 0), |sum, step| (sum.0 + step.0, sum.1 + step.1));
    if draft > 0 && target > 0 { target as f64 / draft as f64 } else { 1.0 }
}

/// The price of a token and of a scored step, in seconds or in FLOPs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct UnitPrices {
    draft_decode: f64,
    draft_prefill: f64,
    reward_step: f64,
    target_decode: f64,
    target_prefill: f64,
}

impl UnitPrices {
    /// Prices in seconds; `None` until everything that the work needs was observed.
    pub fn seconds(costs: &UnitCosts, work: &ExpectedWork) -> Option<Self> {
        let needed = |amount: f64, cost: Option<f64>| if amount > 0.0 { cost } else { Some(cost.unwrap_or(0.0)) };
        Some(Self {
            draft_decode: needed(work.drafted, costs.draft_decode)?,
            draft_prefill: needed(work.draft_prefilled, costs.draft_prefill)?,
            reward_step: needed(work.scored, costs.reward_step)?,
            target_decode: costs.target_decode?,
            target_prefill: needed(work.target_prefilled, costs.target_prefill)?,
        })
    }

    /// Prices in FLOPs, about 2 N per token; `None` until it is known how many tokens a separate reward model prefills.
    pub fn flops(parameters: ModelParameters, reward_tokens: Option<f64>) -> Option<Self> {
        let per_token = |n: u64| 2.0 * n as f64;
        let reward_step = if parameters.reward == 0 { 0.0 } else { per_token(parameters.reward) * reward_tokens? };
        let (draft, target) = (per_token(parameters.draft), per_token(parameters.target));
        Some(Self {
            draft_decode: draft,
            draft_prefill: draft,
            reward_step,
            target_decode: target,
            target_prefill: target,
        })
    }
}
