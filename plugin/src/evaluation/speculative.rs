//! Lossless greedy speculative decoding (Leviathan et al., arXiv 2211.17192), as a count.
//!
//! In each round the draft proposes a few tokens and the target reads them all in one pass: it keeps those that it would
//! have written itself and adds one of its own. So the answer is the target's, whatever is proposed, and what it takes
//! follows from where the draft, after the same tokens, would have written the same. Reading the answer once tells that.
//!
//! The rounds themselves are not run. mistral.rs's own pipeline hangs in its first step, and its public interface
//! has no pass over many tokens that leaves them in the cache, so no time could be measured that means anything.

use crate::pipeline::{
    Finish, Outcome, Rsd,
    roles::{Prompt, RoleError, RunRequest, Step},
    segment::Segmentation,
    trace::Totals,
};

/// What became of one round's proposals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Round {
    /// Proposed tokens that the target would have written too.
    pub(super) kept: usize,
    /// Whether a token of the target's own follows; at the end of the answer there is none.
    pub(super) own: bool,
}

/// What it takes to write an answer.
#[derive(Debug)]
pub(super) struct Speculated {
    pub(super) rounds: Vec<Round>,
    pub(super) totals: Totals,
}

/// The target's answer as rounds of so many proposals.
pub(super) async fn speculate(
    rsd: &Rsd,
    prompt: &Prompt,
    segmentation: Segmentation,
    answer: &Outcome,
    proposals: usize,
) -> Result<Speculated, RoleError> {
    let steps = read(rsd, prompt, segmentation, answer).await?;
    let logprobs = steps.iter().flat_map(|step| &step.logprobs);
    let agreed: Vec<bool> =
        logprobs.map(|at| at.top.first().is_some_and(|(likeliest, _)| *likeliest == at.id)).collect();
    let ended = answer.finish == Finish::Stop;
    let rounds = rounds(&agreed, ended, proposals);

    let mut totals = Totals::default();
    let prompt = answer.prompt_tokens;
    // A draft whose proposals were all kept has not read the last of them itself.
    let unread = rounds.iter().rev().skip(1).filter(|round| round.kept == proposals).count();
    totals.draft.add(proposals * rounds.len(), prompt + unread, prompt, 0.0);
    // The target reads all proposals and says what follows each. What is not in the answer was read in vain.
    let vain = rounds.len() * (proposals + 1) - agreed.len() - usize::from(ended);
    totals.target.add(agreed.len(), prompt + vain, prompt, 0.0);
    Ok(Speculated { rounds, totals })
}

/// The answer's steps with the token that the draft finds likeliest at each place.
async fn read(
    rsd: &Rsd,
    prompt: &Prompt,
    segmentation: Segmentation,
    answer: &Outcome,
) -> Result<Vec<Step>, RoleError> {
    if rsd.draft.vocabulary() != rsd.target.vocabulary() {
        return Err(RoleError::Invalid("speculative decoding needs two models with one vocabulary".to_owned()));
    }
    if answer.tokens.is_empty() {
        return Ok(Vec::new());
    }
    // Reading empties its cache on a CPU, which must not happen within another answer.
    let _turn = rsd.draft.turn().await;
    let prefix = rsd.draft.encode_prompt(prompt).await?;
    let request = RunRequest::greedy(prefix, segmentation, answer.tokens.len());
    rsd.draft.replay(RunRequest { logprobs: Some(1), ..request }, answer.tokens.clone()).await
}

/// The rounds of an answer, from whether the draft would have written each of its tokens. `ended`: the end token, which is
/// not among them, has to be written too.
fn rounds(agreed: &[bool], ended: bool, proposals: usize) -> Vec<Round> {
    let (mut rounds, mut written) = (Vec::new(), 0);
    while written < agreed.len() + usize::from(ended) {
        let kept = agreed[written.min(agreed.len())..].iter().take(proposals).take_while(|agreed| **agreed).count();
        written += kept;
        let own = written < agreed.len();
        rounds.push(Round { kept, own });
        // Its own token, or the end token, whoever of the two wrote that.
        written += 1;
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_ends_with_a_token_of_the_target() {
        let round = |kept, own| Round { kept, own };
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
