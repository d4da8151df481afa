//! mistral.rs's speculative decoding writes what the target writes, and its rounds are counted.

use crate::rig::{Pair, Rig, succeed};

const GAMMA: usize = 3;

/// Tokens, tokens drafted, and whether the answer came to its end, of every question.
fn spoken(pair: Pair) -> Vec<(usize, usize, bool)> {
    let rig = Rig::new(pair, 16);
    succeed(rig.eval("run", &format!("--methods target,sd --gamma {GAMMA}")));
    let logged = rig.answers("run");
    let questions = rig.questions();
    let of = |method: &str, id: &str| logged[&(id.to_owned(), method.to_owned(), 0)].clone();
    let mut all = Vec::new();
    for question in &questions {
        let (sd, target) = (of("sd", &question.id), of("target", &question.id));
        assert_eq!((&sd.text, sd.tokens, sd.finished), (&target.text, target.tokens, target.finished), "{}", question.id);
        assert_eq!((sd.prompt_tokens, sd.target.generated), (target.prompt_tokens, target.target.generated));
        all.push((sd.tokens, sd.draft.generated, sd.finished));
    }
    assert!(all.iter().any(|(.., finished)| *finished) && all.iter().any(|(.., finished)| !finished), "{all:?}");
    all
}

#[test]
fn a_draft_that_agrees_with_everything_has_no_round_too_many() {
    for (tokens, drafted, finished) in spoken(Pair::Twins) {
        // The end is a token that is drafted too.
        assert_eq!(drafted, (tokens + usize::from(finished)).div_ceil(GAMMA) * GAMMA, "{tokens} {finished}");
    }
}

#[test]
fn a_draft_that_agrees_with_nothing_has_a_round_for_each_token() {
    let all = spoken(Pair::Strangers);
    for &(tokens, drafted, finished) in &all {
        let most = (tokens + usize::from(finished)) * GAMMA;
        assert!(drafted % GAMMA == 0 && drafted <= most && 10 * drafted >= 8 * most, "{tokens} {drafted} {finished}");
    }
}

#[test]
fn a_draft_that_agrees_at_times_has_rounds_in_between() {
    let all = spoken(Pair::Kin);
    let (mut rounds, mut written) = (0, 0);
    for &(tokens, drafted, finished) in &all {
        let written_here = tokens + usize::from(finished);
        assert_eq!(drafted % GAMMA, 0);
        assert!((written_here.div_ceil(GAMMA)..=written_here).contains(&(drafted / GAMMA)), "{tokens} {drafted}");
        rounds += drafted / GAMMA;
        written += written_here;
    }
    assert!(10 * rounds < 9 * written && 10 * GAMMA * rounds > 11 * written, "{rounds} rounds for {written} tokens");
}
