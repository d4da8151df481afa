//! Sampling: traps C (one token too many is computed), D (stop strings are noticed late), I and J (parameters are
//! ignored).

use std::collections::HashMap;

use mistralrs_core::{SamplingParams, StopTokens};
use rsd_core::{
    logits::argmax,
    pipeline::{
        roles::{Generator, StepEnd},
        segment::StepBoundary,
    },
    sampling::Sampling,
};

use crate::{
    raw,
    test_engine::{ROUNDING, TestEngine, distance},
};

#[tokio::test]
async fn c_a_run_of_one_token_is_right_and_spoils_nothing() {
    let (rig, fresh) = (TestEngine::new().await, TestEngine::new().await);
    let prompt = rig.tiny.prompt(30, 1);
    let long = fresh.run(fresh.request(&prompt, 12)).await.ids;
    let one = rig.run(rig.request(&prompt, 1)).await;
    assert_eq!(one.ids, long[..1]);
    assert_eq!(one.report.generated, 1);
    assert_eq!(one.steps[0].end, StepEnd::Length);
    let mut rest = prompt.clone();
    rest.extend(&one.ids);
    assert_eq!(rig.run(rig.request(&rest, 11)).await.ids, long[1..]);
}

#[tokio::test]
async fn c_logits_read_are_the_ones_after_the_prompt() {
    let (rig, other) = (TestEngine::new().await, TestEngine::new().await);
    let prompt = rig.tiny.prompt(30, 2);
    let all: Vec<u32> = (0..u32::try_from(rig.tiny.vocabulary_size()).unwrap()).collect();
    let first = rig.engine.read_logits(prompt.clone(), all.clone()).await.unwrap();
    let seen = raw::ask(&other, &prompt, raw::greedy(3), &[]).await;
    assert!(distance(&first.logits, &seen.calls[0].logits) < ROUNDING);
    assert_eq!((first.prompt, first.prefilled), (30, 30));

    // Read them again, read those of a prompt that shares the prefix, and decode from there: reading leaves no wrong
    // cache.
    let again = rig.engine.read_logits(prompt.clone(), all.clone()).await.unwrap();
    assert!(distance(&first.logits, &again.logits) < ROUNDING);
    let mut sibling = prompt[..25].to_vec();
    sibling.extend(rig.tiny.prompt(4, 3));
    let near = rig.engine.read_logits(sibling.clone(), all.clone()).await.unwrap();
    let far = TestEngine::new().await.engine.read_logits(sibling, all).await.unwrap();
    assert!(distance(&near.logits, &far.logits) < ROUNDING);
    assert_eq!(near.prefilled, 4);
    assert_eq!(rig.run(rig.request(&prompt, 20)).await.ids, other.run(other.request(&prompt, 20)).await.ids);
}

#[tokio::test]
async fn c_a_request_of_one_token_still_bites() {
    let rig = TestEngine::new().await;
    let seen = raw::ask(&rig, &rig.tiny.prompt(20, 4), raw::greedy(1), &[]).await;
    assert_eq!(seen.calls.len(), 2, "the sampler was called once: trap C is gone");
}

#[tokio::test]
async fn d_steps_end_with_the_token_that_completes_their_delimiter() {
    let rig = TestEngine::new().await;
    let mut request = rig.request(&rig.tiny.prompt(30, 5), 400);
    request.sampling = Sampling { temperature: 1.0, seed: 3, ..request.sampling };
    let uncut = rig.run(request.clone()).await;
    for text in ["\n\n", ".\n\n", "!\n\n"] {
        request.sampling.logit_bias.insert(rig.tiny.token(text), 7.0);
    }
    let biased = rig.run(request.clone()).await;
    assert_ne!(uncut.ids, biased.ids);

    request.segmentation.boundary = StepBoundary::Delimiter(vec!["\n\n".to_owned()]);
    let cut = TestEngine::new().await.run(request.clone()).await;
    assert_eq!(cut.ids, biased.ids, "cutting changes no token");
    assert!(cut.steps.len() > 4, "{} steps", cut.steps.len());
    let (last, steps) = cut.steps.split_last().unwrap();
    assert_eq!(last.end, StepEnd::Length);
    for step in steps {
        assert_eq!(step.end, StepEnd::Boundary);
        let text = step.text();
        assert!(text.trim_start().contains("\n\n"), "{text:?}");
        let before = step.bytes.len() - rig.engine.token_bytes(*step.tokens.last().unwrap()).len();
        let before = String::from_utf8_lossy(&step.bytes[..before]).into_owned();
        assert!(!before.trim_start().contains("\n\n"), "a token too many: {text:?}");
    }

    // One request per step decodes the same tokens.
    let parts = TestEngine::new().await;
    let mut ids: Vec<u32> = Vec::new();
    for step in &cut.steps {
        let mut one = request.clone();
        one.prefix.extend(&ids);
        one.position = ids.len();
        one.max_tokens -= ids.len();
        one.max_steps = Some(1);
        let written = parts.run(one).await;
        assert_eq!(written.ids, step.tokens);
        ids.extend(written.ids);
    }
}

#[tokio::test]
async fn d_a_stop_string_still_bites() {
    let rig = TestEngine::new().await;
    let script = ["ab", ".\n\n", "cd", "ef"].map(|text| rig.tiny.token(text));
    let params = SamplingParams { stop_toks: Some(StopTokens::Seqs(vec!["\n\n".to_owned()])), ..raw::greedy(50) };
    let seen = raw::ask(&rig, &rig.tiny.prompt(20, 6), params, &script).await;
    assert_eq!(seen.calls.len(), 3, "the request ended with the token that completes the stop string: trap D is gone");
    assert!(seen.text.contains("\n\ncd"), "{:?}", seen.text);
}

/// mistral.rs looks for a stop string that is one token, and begins no other, only as that token.
#[tokio::test]
async fn d_a_stop_string_inside_another_token_still_bites() {
    let rig = TestEngine::new().await;
    let script = ["ab", " **", "cd", "ef"].map(|text| rig.tiny.token(text));
    let params = SamplingParams { stop_toks: Some(StopTokens::Seqs(vec!["**".to_owned()])), ..raw::greedy(4) };
    let seen = raw::ask(&rig, &rig.tiny.prompt(20, 14), params, &script).await;
    assert_eq!(seen.calls.len(), 4, "the stop string was noticed: this part of trap D is gone");

    let mut request = rig.request(&rig.tiny.prompt(20, 14), 50);
    request.sampling.logit_bias.insert(script[1], 1000.0);
    request.stop = vec!["**".to_owned()];
    let ours = rig.run(request).await;
    assert_eq!(ours.ids, [script[1]]);
    assert_eq!(ours.steps[0].end, StepEnd::StopString);
}

#[tokio::test]
async fn d_a_stop_string_of_ours_ends_at_once() {
    let rig = TestEngine::new().await;
    let mut request = rig.request(&rig.tiny.prompt(20, 7), 500);
    request.sampling = Sampling { temperature: 1.0, seed: 5, ..request.sampling };
    request.sampling.logit_bias.insert(rig.tiny.token(".\n\n"), 8.0);
    request.stop = vec!["\n\n".to_owned()];
    let written = rig.run(request).await;
    let last = written.steps.last().unwrap();
    assert_eq!(last.end, StepEnd::StopString);
    assert!(last.text().ends_with("\n\n"), "{:?}", last.text());
}

#[tokio::test]
async fn i_temperature_zero_is_greedy_and_repeats() {
    let (one, two) = (TestEngine::new().await, TestEngine::new().await);
    let prompt = one.tiny.prompt(30, 8);
    let ids = one.run(one.request(&prompt, 50)).await.ids;
    assert_eq!(ids, two.run(two.request(&prompt, 50)).await.ids);
    assert_eq!(ids, raw::ask(&TestEngine::new().await, &prompt, raw::greedy(50), &[]).await.chosen(&one));
}

#[tokio::test]
async fn i_no_temperature_is_not_greedy_still_bites() {
    let rig = TestEngine::new().await;
    let params = SamplingParams { max_len: Some(40), ..SamplingParams::neutral() };
    let seen = raw::ask_passively(&rig, &rig.tiny.prompt(30, 9), params).await;
    assert_ne!(seen.fed(), argmaxes(&rig, &seen), "`temperature: None` is greedy: trap I is gone");
}

/// The greedy choice at each call but the last.
fn argmaxes(rig: &TestEngine, seen: &raw::RawRun) -> Vec<u32> {
    let (_, calls) = seen.calls.split_last().unwrap();
    calls
        .iter()
        .map(|call| {
            let mut logits = call.logits.clone();
            for id in rig.tiny.ends() {
                logits[id as usize] = f32::NEG_INFINITY;
            }
            argmax(&logits)
        })
        .collect()
}

#[tokio::test]
async fn j_the_seed_decides_whatever_ran_before() {
    let rig = TestEngine::new().await;
    let prompt = rig.tiny.prompt(30, 10);
    let seeded = |seed| {
        let mut request = rig.request(&prompt, 40);
        request.sampling = Sampling { temperature: 1.0, seed, ..request.sampling };
        request
    };
    let first = rig.run(seeded(1)).await.ids;
    let other = rig.run(seeded(2)).await.ids;
    let again = rig.run(seeded(1)).await.ids;
    assert_eq!(first, again);
    assert_ne!(first, other);
}

#[tokio::test]
async fn j_bias_and_min_p_are_honored() {
    let rig = TestEngine::new().await;
    let prompt = rig.tiny.prompt(30, 11);
    let wanted = rig.tiny.token(" q");
    let mut biased = rig.request(&prompt, 10);
    biased.sampling.logit_bias.insert(wanted, 1000.0);
    assert_eq!(rig.run(biased).await.ids, [wanted; 10]);

    let greedy = rig.run(rig.request(&prompt, 30)).await.ids;
    let mut narrow = rig.request(&prompt, 30);
    narrow.sampling = Sampling { temperature: 1.0, seed: 9, min_p: Some(1.0), ..narrow.sampling };
    assert_eq!(rig.run(narrow).await.ids, greedy);
}

#[tokio::test]
async fn j_a_bias_still_bites() {
    let rig = TestEngine::new().await;
    let wanted = rig.tiny.token(" q");
    let params = SamplingParams { logits_bias: Some(HashMap::from([(wanted, 1000.0)])), ..raw::greedy(6) };
    let seen = raw::ask_passively(&rig, &rig.tiny.prompt(30, 12), params).await;
    assert!(!seen.fed().contains(&wanted), "`logits_bias` is honored: this part of trap J is gone");
}

#[tokio::test]
async fn j_min_p_without_top_p_still_bites() {
    let rig = TestEngine::new().await;
    let params =
        SamplingParams { temperature: Some(1.0), min_p: Some(0.999), max_len: Some(40), ..SamplingParams::neutral() };
    let seen = raw::ask_passively(&rig, &rig.tiny.prompt(30, 13), params).await;
    assert_ne!(seen.fed(), argmaxes(&rig, &seen), "`min_p` alone is honored: this part of trap J is gone");
}
