//! Tokens that the draft proposes inside the target's steps (`steps.proposals`), with the real engine.

use rsd_core::{
    pipeline::{AnswerOutcome, Request},
    sampling::Sampling,
};
use rsd_tests::tiny_pipeline;

/// Answers of several sampling settings, each without and with proposals, in this order.
async fn answers(proposals: [usize; 2], same_model: bool) -> Vec<[AnswerOutcome; 2]> {
    // Nothing stays cached between answers, so that all begin alike.
    let mut rsd = tiny_pipeline::rsd_with_cache(&tiny_pipeline::limits(), Some(0)).await.unwrap();
    if same_model {
        rsd.draft = rsd.target.clone();
    }
    let long = "the quick brown fox jumps over the lazy dog ".repeat(9);
    let mut answers = Vec::new();
    for (seed, prompt) in (0..).zip(["one two three", long.as_str(), "a"]) {
        for temperature in [0.0, 0.9] {
            let sampling = Sampling { temperature, seed, frequency_penalty: Some(0.4), ..Sampling::default() };
            let mut pair = Vec::new();
            for proposals in proposals {
                rsd.settings.proposals = proposals;
                let asked = Request::text(prompt).sampling(sampling.clone()).max_tokens(60);
                let request = Request { logprobs: Some(2), ..asked };
                pair.push(rsd.complete(request).await.unwrap());
            }
            answers.push(pair.try_into().unwrap());
        }
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn verified_steps_are_those_that_the_target_decodes() {
    let mut rounds = 0;
    for [plain, proposed] in answers([0, 3], false).await {
        assert_eq!(proposed.tokens, plain.tokens);
        assert_eq!(proposed.text, plain.text);
        for (a, b) in proposed.logprobs.iter().zip(&plain.logprobs) {
            assert!(a.id == b.id && (a.logprob - b.logprob).abs() < 1e-3, "{a:?} {b:?}");
        }
        let speculation = proposed.trace.totals.speculation;
        assert!(speculation.accepted <= speculation.proposed);
        rounds += speculation.rounds;
    }
    assert!(rounds > 20, "{rounds} rounds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_picks_what_it_proposes_to_itself() {
    let (mut proposed, mut accepted) = (0, 0);
    for [one, four] in answers([1, 4], true).await {
        assert_eq!(one.tokens, four.tokens);
        for outcome in [one, four] {
            proposed += outcome.trace.totals.speculation.proposed;
            accepted += outcome.trace.totals.speculation.accepted;
        }
    }
    assert!(proposed > 100 && accepted == proposed, "{accepted} of {proposed}");
}
