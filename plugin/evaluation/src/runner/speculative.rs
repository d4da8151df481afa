//! The cost of lossless greedy speculative decoding (Leviathan et al., arXiv 2211.17192), without running it.
//!
//! In each round the draft proposes a few tokens and the target checks them all in one forward pass: it accepts the
//! proposed tokens that match its own and adds one token of its own. The output therefore always equals the target's.
//! The draft scores the target's answer once, and the tokens it predicts right give the number of rounds and tokens.
//!
//! The rounds themselves are not run. mistral.rs's own pipeline hangs in its first step, and its public interface has
//! no forward pass over many tokens that leaves them in the cache, so a measured time would not be meaningful.

use rsd_core::pipeline::{
    AnswerOutcome, FinishReason, Rsd,
    roles::{Prompt, RoleError, RunRequest, Step},
    segment::Segmentation,
    trace::AnswerTotals,
};

/// One round of proposals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProposalRound {
    /// Proposed tokens that match the target's.
    pub(super) accepted: usize,
    /// Whether a token of the target's own follows; not at the end of the answer.
    pub(super) own: bool,
}

/// The rounds and the work of an answer.
#[derive(Debug)]
pub(super) struct SpeculativeCost {
    pub(super) rounds: Vec<ProposalRound>,
    pub(super) totals: AnswerTotals,
}

/// The cost of the target's answer with `proposals` proposed tokens per round.
pub(super) async fn speculate(
    rsd: &Rsd,
    prompt: &Prompt,
    segmentation: Segmentation,
    answer: &AnswerOutcome,
    proposals: usize,
) -> Result<SpeculativeCost, RoleError> {
    let steps = replay(rsd, prompt, segmentation, answer).await?;
    let logprobs = steps.iter().flat_map(|step| &step.logprobs);
    let agreed: Vec<bool> =
        logprobs.map(|at| at.top.first().is_some_and(|(likeliest, _)| *likeliest == at.id)).collect();
    let ended = answer.finish == FinishReason::Stop;
    let rounds = rounds(&agreed, ended, proposals);

    let mut totals = AnswerTotals::default();
    let prompt = answer.prompt_tokens;
    // If all proposals are accepted, the draft has not computed the last of them yet.
    let uncomputed = rounds.iter().rev().skip(1).filter(|round| round.accepted == proposals).count();
    totals.draft.add_call(proposals * rounds.len(), prompt + uncomputed, prompt, 0.0);
    // The target computes all proposals and the token after each. Those not in the answer are discarded.
    let discarded = rounds.len() * (proposals + 1) - agreed.len() - usize::from(ended);
    totals.target.add_call(agreed.len(), prompt + discarded, prompt, 0.0);
    Ok(SpeculativeCost { rounds, totals })
}

/// The answer's steps with the draft's most likely token at each place.
async fn replay(
    rsd: &Rsd,
    prompt: &Prompt,
    segmentation: Segmentation,
    answer: &AnswerOutcome,
) -> Result<Vec<Step>, RoleError> {
    if rsd.draft.vocabulary() != rsd.target.vocabulary() {
        return Err(RoleError::Invalid(
            "speculative decoding needs a draft and a target with the same vocabulary".to_owned(),
        ));
    }
    if answer.tokens.is_empty() {
        return Ok(Vec::new());
    }
    // A replay empties the draft's cache on a CPU, which must not happen within another answer.
    let _permit = rsd.draft.answer_permit().await;
    let prefix = rsd.draft.encode_prompt(prompt).await?;
    let request = RunRequest::greedy(prefix, segmentation, answer.tokens.len());
    rsd.draft.replay(RunRequest { logprobs: Some(1), ..request }, answer.tokens.clone()).await
}

/// The rounds of an answer, from whether the draft predicts each of its tokens. `ended`: whether the end token, which
/// is not among them, has to be generated too.
fn rounds(agreed: &[bool], ended: bool, proposals: usize) -> Vec<ProposalRound> {
    let (mut rounds, mut decoded) = (Vec::new(), 0);
    while decoded < agreed.len() + usize::from(ended) {
        let accepted = agreed[decoded.min(agreed.len())..].iter().take(proposals).take_while(|agreed| **agreed).count();
        decoded += accepted;
        let own = decoded < agreed.len();
        rounds.push(ProposalRound { accepted, own });
        // The target's own token, or the end token of either model.
        decoded += 1;
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_ends_with_a_token_of_the_target() {
        let round = |accepted, own| ProposalRound { accepted, own };
        let (yes, no) = (true, false);
        assert_eq!(rounds(&[], false, 3), []);
        assert_eq!(rounds(&[], true, 3), [round(0, no)]);
        assert_eq!(rounds(&[yes; 8], false, 3), [round(3, yes), round(3, yes)]);
        assert_eq!(rounds(&[yes; 8], true, 3), [round(3, yes), round(3, yes), round(0, no)]);
        assert_eq!(rounds(&[yes; 7], true, 3), [round(3, yes), round(3, no)]);
        assert_eq!(rounds(&[yes; 6], true, 3), [round(3, yes), round(2, no)]);
        assert_eq!(rounds(&[no, no, yes, no], true, 2), [round(0, yes), round(0, yes), round(1, yes), round(0, no)]);
    }
}
