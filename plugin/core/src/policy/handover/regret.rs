//! The bound on regret: whether another draft step could make an answer too dear.

use super::{
    AnswerStanding, WorkDone,
    expected_cost::{AnswerOutlook, ModelPrices},
};

impl WorkDone {
    pub(super) fn seconds(&self, prices: &ModelPrices) -> f64 {
        self.draft_decoded as f64 * prices.draft_decode
            + self.draft_prefilled as f64 * prices.draft_prefill
            + self.scored as f64 * prices.reward_step
            + self.target_decoded as f64 * prices.target_decode
            + self.target_prefilled as f64 * prices.target_prefill
    }
}

/// Whether the cost so far, another draft step and the rest by the target may exceed 1 + `regret` times the cost of the
/// target alone for the whole answer.
///
/// The answer so far counts with its own length, a step ahead with its expected length. If the draft step is accepted,
/// the target decodes one step less and prefills one more.
pub(super) fn exceeds(regret: f64, prices: &ModelPrices, outlook: &AnswerOutlook, standing: &AnswerStanding) -> bool {
    let rest = outlook.remaining_tokens() * prices.target_decode;
    let prompt = standing.prompt_tokens as f64 * prices.target_prefill;
    let alone = prompt + standing.tokens as f64 * prices.target_decode + rest;
    let step = standing.draft_behind as f64 * prices.draft_prefill
        + (outlook.draft_tokens + outlook.discarded_tokens) * prices.draft_decode
        + prices.reward_step;
    let behind = standing.target_behind as f64 * prices.target_prefill;
    let rejected = standing.done.seconds(prices) + step + behind + rest;
    let accepted =
        rejected + outlook.draft_tokens * prices.target_prefill - outlook.target_tokens * prices.target_decode;
    // An accepted step of the draft changes the length of the answer as well.
    let alone_accepted = alone + (outlook.draft_tokens - outlook.target_tokens) * prices.target_decode;
    rejected > (1.0 + regret) * alone || accepted > (1.0 + regret) * alone_accepted
}
