//! The expected cost of drafting on and of the target going on alone, by dynamic programming over the steps ahead.
//!
//! Let u be the tokens that the target has not prefilled, c those that the draft has not, and z what the acceptance
//! depends on: the class of what came before. A step has d tokens by the draft and t by the target, is accepted with
//! the probability a(z), and is the last one with the probability e. With the prices in seconds (`dp`, `dd`, `tp`, `td`
//! for prefilling and decoding a token with draft and target, `r` for a score):
//!
//! ```text
//! T(i, u)       = u tp + t td + (1 - e) T(i + 1, 0)
//! D(i, u, c, z) = c dp + d dd + r
//!               + a(z)       (1 - e) min(D(i + 1, u + d, 0, z'), T(i + 1, u + d))
//!               + (1 - a(z)) (w dd + u tp + t td + (1 - e) min(D(i + 1, 0, t, z'), T(i + 1, 0)))
//! ```
//!
//! where w is the number of tokens that the draft decodes ahead of a rejection, and z' is averaged over. After the
//! horizon the target goes on alone, so D is the cost of something that can be done.

/// What the acceptance of a step depends on: nothing yet, the newest reward in four classes of equal width, or a step of the
/// answer that was rejected before.
pub const CLASSES: usize = 6;

/// The most steps that are looked ahead.
pub const HORIZON: usize = 32;

/// Seconds per token of the models, and per scored step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelPrices {
    /// Seconds in which the draft decodes a token.
    pub draft_decode: f64,
    /// Seconds in which the draft prefills a token.
    pub draft_prefill: f64,
    /// Seconds in which the target decodes a token.
    pub target_decode: f64,
    /// Seconds in which the target prefills a token.
    pub target_prefill: f64,
    /// Seconds in which the reward model scores a step.
    pub reward_step: f64,
}

/// What is expected of one step ahead, by the class of the reward before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepOutlook {
    /// Probability that the answer ends with this step.
    pub ending: f64,
    /// `accepted[before][after]`: probability that the step is accepted and its reward is of the class `after`.
    pub accepted: [[f64; CLASSES]; CLASSES],
    /// The same for a rejected step.
    pub rejected: [[f64; CLASSES]; CLASSES],
}

/// What is expected of the rest of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct AnswerOutlook {
    /// Tokens of a step by the draft.
    pub draft_tokens: f64,
    /// Tokens of a step by the target.
    pub target_tokens: f64,
    /// Tokens that the draft decodes ahead of a rejection.
    pub discarded_tokens: f64,
    /// The steps ahead, at most [`HORIZON`].
    pub steps: Vec<StepOutlook>,
    /// Steps expected after those, if the answer is not over by then.
    pub steps_beyond: f64,
}

/// Where an answer stands between two steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrefillDebt {
    /// Tokens that the target has not prefilled.
    pub target: f64,
    /// Tokens that the draft has not prefilled.
    pub draft: f64,
}

/// Expected seconds of the rest of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpectedCosts {
    /// The draft decodes the next step, and the cheaper model goes on after it.
    pub draft_on: f64,
    /// The target decodes the rest.
    pub target_alone: f64,
}

impl StepOutlook {
    /// The expected cost once the step is drafted and scored. `accepted` and `rejected` are the costs from the next step
    /// on, `replacement` is the cost of the step that replaces a rejected one.
    fn cost_after(&self, class: usize, accepted: &[f64; CLASSES], rejected: &[f64; CLASSES], replacement: f64) -> f64 {
        let go_on = 1.0 - self.ending;
        (0..CLASSES)
            .map(|next| {
                self.accepted[class][next] * go_on * accepted[next]
                    + self.rejected[class][next] * (replacement + go_on * rejected[next])
            })
            .sum()
    }
}

impl AnswerOutlook {
    /// Expected steps from each step ahead to the end, that step included; the last entry is `steps_beyond`.
    fn remaining_steps(&self) -> Vec<f64> {
        let mut remaining = vec![self.steps_beyond; self.steps.len() + 1];
        for (i, step) in self.steps.iter().enumerate().rev() {
            remaining[i] = 1.0 + (1.0 - step.ending) * remaining[i + 1];
        }
        remaining
    }

    /// Expected tokens of the rest of the answer, if the target decodes it.
    #[must_use]
    pub fn remaining_tokens(&self) -> f64 {
        self.target_tokens * self.remaining_steps()[0]
    }
}

/// The expected costs of both ways to go on, after a reward of this class. The work is bounded by the square of
/// [`HORIZON`].
#[must_use]
pub fn expected_costs(prices: &ModelPrices, outlook: &AnswerOutlook, debt: PrefillDebt, class: usize) -> ExpectedCosts {
    let remaining = outlook.remaining_steps();
    let per_step = outlook.target_tokens * prices.target_decode;
    let alone = |i: usize, debt: f64| debt * prices.target_prefill + per_step * remaining[i];
    let target_alone = alone(0, debt.target);
    if outlook.steps.is_empty() {
        return ExpectedCosts { draft_on: target_alone, target_alone };
    }
    let drafted = outlook.draft_tokens * prices.draft_decode + prices.reward_step;
    let discarded = outlook.discarded_tokens * prices.draft_decode;
    let resumed = outlook.target_tokens * prices.draft_prefill;
    let length = outlook.steps.len();
    // The cheapest way on from the step after step i, by the class of the newest reward: `since_rejection[k]` after k
    // accepted steps since the target's newest one, `since_now` if every step from now on was accepted.
    let mut since_rejection: Vec<[f64; CLASSES]> =
        (0..length).map(|k| [alone(length, k as f64 * outlook.draft_tokens); CLASSES]).collect();
    let mut since_now = [alone(length, debt.target + length as f64 * outlook.draft_tokens); CLASSES];
    for (i, step) in outlook.steps.iter().enumerate().skip(1).rev() {
        let drafting = |behind: f64, class: usize, accepted: &[f64; CLASSES], rejected: &[f64; CLASSES]| {
            drafted + step.cost_after(class, accepted, rejected, discarded + behind * prices.target_prefill + per_step)
        };
        let behind = debt.target + i as f64 * outlook.draft_tokens;
        since_now =
            std::array::from_fn(|class| drafting(behind, class, &since_now, &since_rejection[0]).min(alone(i, behind)));
        let rejected = since_rejection[0];
        for k in 0..i {
            let behind = k as f64 * outlook.draft_tokens;
            let resumed = if k == 0 { resumed } else { 0.0 };
            let accepted = since_rejection[k + 1];
            since_rejection[k] = std::array::from_fn(|class| {
                (resumed + drafting(behind, class, &accepted, &rejected)).min(alone(i, behind))
            });
        }
    }
    let replacement = discarded + debt.target * prices.target_prefill + per_step;
    let draft_on = debt.draft * prices.draft_prefill
        + drafted
        + outlook.steps[0].cost_after(class, &since_now, &since_rejection[0], replacement);
    ExpectedCosts { draft_on, target_alone }
}
