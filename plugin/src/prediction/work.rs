//! The work on an answer, counted in tokens and steps, and its price.

use std::{iter::Sum, ops::Add};

use rsd_protocol::preview::UnitCosts;

use super::{Sizes, record::Step};

/// What is expected on some answers; sums of probabilities and of tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Work {
    pub steps: f64,
    pub kept: f64,
    pub drafted: f64,
    pub kept_tokens: f64,
    pub scored: f64,
    pub draft_read: f64,
    pub target_read: f64,
    pub target_written: f64,
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            kept: self.kept + other.kept,
            drafted: self.drafted + other.drafted,
            kept_tokens: self.kept_tokens + other.kept_tokens,
            scored: self.scored + other.scored,
            draft_read: self.draft_read + other.draft_read,
            target_read: self.target_read + other.target_read,
            target_written: self.target_written + other.target_written,
        }
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), Self::add)
    }
}

impl Work {
    /// RSD on one answer, each step kept with its probability; `ratio` is the target's tokens per token of the draft.
    pub fn rsd(steps: &[Step], keeps: &[f64], ratio: f64) -> Self {
        let mut work = Self::default();
        let mut unread = 0.0;
        for (step, keep) in steps.iter().zip(keeps) {
            let drafted = step.draft_tokens as f64;
            let written = (1.0 - keep) * target_tokens(step, ratio);
            let step = Self {
                steps: 1.0,
                kept: *keep,
                drafted,
                kept_tokens: keep * drafted,
                scored: 1.0,
                draft_read: written,
                target_read: (1.0 - keep) * unread,
                target_written: written,
            };
            work = work + step;
            unread = keep * (unread + drafted);
        }
        work
    }

    /// The draft alone, without verdicts.
    pub fn draft_alone(steps: &[Step]) -> Self {
        let drafted: f64 = steps.iter().map(|step| step.draft_tokens as f64).sum();
        let steps = steps.len() as f64;
        Self { steps, kept: steps, drafted, kept_tokens: drafted, ..Self::default() }
    }

    /// The target alone.
    pub fn target_alone(steps: &[Step], ratio: f64) -> Self {
        let target_written = steps.iter().map(|step| target_tokens(step, ratio)).sum();
        Self { steps: steps.len() as f64, target_written, ..Self::default() }
    }

    pub fn acceptance(&self) -> f64 {
        self.kept / self.steps
    }

    /// Where nothing but empty steps was drafted, the acceptance of steps.
    pub fn token_acceptance(&self) -> f64 {
        if self.drafted > 0.0 { self.kept_tokens / self.drafted } else { self.acceptance() }
    }

    /// What it costs, over what the target alone would cost for the answer that comes out.
    pub fn relative_cost(&self, prices: &Prices) -> f64 {
        let cost = self.drafted * prices.draft_write
            + self.draft_read * prices.draft_read
            + self.scored * prices.verdict
            + self.target_written * prices.target_write
            + self.target_read * prices.target_read;
        cost / ((self.kept_tokens + self.target_written) * prices.target_write)
    }
}

fn target_tokens(step: &Step, ratio: f64) -> f64 {
    step.target_tokens.map_or(ratio * step.draft_tokens as f64, |tokens| tokens as f64)
}

/// Tokens of the target's steps over tokens of the drafted steps they replaced; 1 until the target wrote.
pub(super) fn target_ratio(steps: &[Step]) -> f64 {
    let replaced = steps.iter().filter_map(|step| Some((step.draft_tokens, step.target_tokens?)));
    let (draft, target) = replaced.fold((0, 0), |sum, step| (sum.0 + step.0, sum.1 + step.1));
    if draft > 0 && target > 0 { target as f64 / draft as f64 } else { 1.0 }
}

/// The price of a token, and of a verdict: in seconds or in FLOPs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Prices {
    draft_write: f64,
    draft_read: f64,
    verdict: f64,
    target_write: f64,
    target_read: f64,
}

impl Prices {
    /// Seconds; nothing until everything that the work needs was seen.
    pub fn seconds(costs: &UnitCosts, work: &Work) -> Option<Self> {
        let needed = |amount: f64, cost: Option<f64>| if amount > 0.0 { cost } else { Some(cost.unwrap_or(0.0)) };
        Some(Self {
            draft_write: needed(work.drafted, costs.draft_decode)?,
            draft_read: needed(work.draft_read, costs.draft_prefill)?,
            verdict: needed(work.scored, costs.reward_step)?,
            target_write: costs.target_decode?,
            target_read: needed(work.target_read, costs.target_prefill)?,
        })
    }

    /// FLOPs, about 2 N per token; nothing until it is known how much a reward model of its own reads.
    pub fn flops(sizes: Sizes, reward_tokens: Option<f64>) -> Option<Self> {
        let per_token = |parameters: u64| 2.0 * parameters as f64;
        let verdict = if sizes.reward == 0 { 0.0 } else { per_token(sizes.reward) * reward_tokens? };
        let (draft, target) = (per_token(sizes.draft), per_token(sizes.target));
        Some(Self { draft_write: draft, draft_read: draft, verdict, target_write: target, target_read: target })
    }
}
