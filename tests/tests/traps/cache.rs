//! The prefix cache on the CPU: traps A (a slot that is never computed), B (prompts inside a cached one), G (no
//! eviction), H (a cache hit hides the prompt's beginning) and L (raw logits after a hit).

use mistralrs_core::Response;
use rsd_core::{pipeline::roles::Generator, sampling::Sampling};

use crate::{
    raw,
    test_engine::{LONG, ROUNDING, TestEngine, distance},
};

#[tokio::test]
async fn a_text_cut_into_requests_is_the_uncut_one() {
    let (whole, parts) = (TestEngine::new().await, TestEngine::new().await);
    let request = whole.request(&whole.tiny.prompt(40, 1), 60);
    let uncut = whole.run(request.clone()).await;
    assert_eq!(uncut.ids.len(), 60);
    for step in [1, 4, 7] {
        let parts = if step == 4 { &parts } else { &TestEngine::new().await };
        let (ids, reports) = parts.cut(&request, step).await;
        assert_eq!(ids, uncut.ids, "steps of {step}");
        assert_eq!(reports[0].prefilled, 40);
        assert!(reports[1..].iter().all(|report| report.prefilled <= 2), "{reports:?}");
    }
}

#[tokio::test]
async fn a_text_drawn_at_random_is_the_same_however_it_is_cut() {
    let (whole, parts) = (TestEngine::new().await, TestEngine::new().await);
    let mut request = whole.request(&whole.tiny.prompt(30, 2), 60);
    request.sampling = Sampling { temperature: 0.7, seed: 11, ..request.sampling };
    let uncut = whole.run(request.clone()).await;
    let (ids, _) = parts.cut(&request, 5).await;
    assert_eq!(ids, uncut.ids);
}

/// A prompt that extends a finished request by one token gets other logits from a used engine than from a fresh one.
#[tokio::test]
async fn a_extending_a_finished_request_still_bites() {
    let (used, fresh) = (TestEngine::new().await, TestEngine::new().await);
    let mut prompt = used.tiny.prompt(40, 3);
    let first = raw::ask(&used, &prompt, raw::greedy(6), &[]).await;
    prompt.extend(first.chosen(&used));
    prompt.push(used.tiny.token("a"));

    let extended = raw::ask(&used, &prompt, raw::greedy(4), &[]).await;
    let right = raw::ask(&fresh, &prompt, raw::greedy(4), &[]).await;
    assert_eq!(extended.calls[0].context.len(), 1, "the cache must contain the whole key, its last slot included");
    assert!(
        distance(&extended.calls[0].logits, &right.calls[0].logits) > 0.1,
        "the slot holds the right values: trap A is gone"
    );
}

#[tokio::test]
async fn a_extending_past_the_key_gives_the_right_logits_our_way() {
    let (used, fresh) = (TestEngine::new().await, TestEngine::new().await);
    let mut prompt = used.tiny.prompt(40, 3);
    let wanted: Vec<u32> = (0..200).collect();
    prompt.extend(used.run(used.request(&prompt, 6)).await.ids);
    prompt.push(used.tiny.token("a"));
    let here = used.engine.read_logits(prompt.clone(), wanted.clone()).await.unwrap();
    let there = fresh.engine.read_logits(prompt.clone(), wanted).await.unwrap();
    assert!(here.prefilled <= 3 && there.prefilled == prompt.len(), "{} {}", here.prefilled, there.prefilled);
    assert!(distance(&here.logits, &there.logits) < ROUNDING);
}

/// A branch has memory of its own, so the cached key that it leaves remains right.
#[tokio::test]
async fn a_branch_leaves_the_key_it_left_as_it_was() {
    let (used, fresh) = (TestEngine::new().await, TestEngine::new().await);
    let prompt = used.tiny.prompt(40, 4);
    let trunk = used.run(used.request(&prompt, 12)).await.ids;
    for which in 10..14 {
        let mut branch = prompt.clone();
        branch.extend(used.tiny.prompt(3, which));
        used.run(used.request(&branch, 9)).await;
    }
    // Back on the trunk, two tokens before its end.
    let mut back = prompt.clone();
    back.extend(&trunk[..10]);
    back.push(used.tiny.token("z"));
    let here = used.run(used.request(&back, 20)).await;
    let there = fresh.run(fresh.request(&back, 20)).await;
    assert_eq!(here.report.prefilled, 1);
    assert_eq!(here.ids, there.ids);
}

#[tokio::test]
async fn b_a_prompt_inside_an_older_key_is_answered_right_and_goes_on_cheaply() {
    let (used, fresh) = (TestEngine::new().await, TestEngine::new().await);
    let request = used.request(&used.tiny.prompt(50, 5), 40);
    let long = used.run(request.clone()).await;
    // The same question again, step by step: each of these prompts is contained in the key of the earlier run.
    let (ids, reports) = used.cut(&request, 8).await;
    assert_eq!(ids, long.ids);
    assert_eq!(ids, fresh.run(request).await.ids);
    assert!(reports[0].prefilled >= 49, "the mirror empties the cache once");
    assert!(reports[1..].iter().all(|report| report.prefilled <= 2), "and not again: {reports:?}");
}

#[tokio::test]
async fn b_a_prompt_inside_a_key_still_bites() {
    let rig = TestEngine::new().await;
    let prompt = rig.tiny.prompt(50, 6);
    raw::ask(&rig, &prompt, raw::greedy(20), &[]).await;
    let again = raw::ask(&rig, &prompt, raw::greedy(4), &[]).await;
    assert_eq!(again.calls[0].context.len(), prompt.len(), "the cache was used: trap B is gone");
}

#[tokio::test]
async fn the_next_turn_of_a_chat_finds_its_beginning_in_the_cache() {
    let rig = TestEngine::new().await;
    let prompt = rig.tiny.prompt(50, 6);
    assert_eq!(rig.engine.cached_prompt(&prompt), 0);
    let answer = rig.run(rig.request(&prompt, 20)).await.ids;
    let next = [prompt.clone(), answer.clone(), rig.tiny.prompt(10, 7)].concat();
    let cached = rig.engine.cached_prompt(&next);
    assert!((prompt.len() + answer.len() - 1..next.len()).contains(&cached), "{cached}");
    let report = rig.run(rig.request(&next, 4)).await.report;
    assert_eq!(report.prefilled, next.len() - cached);
}

#[tokio::test]
async fn g_the_cache_keeps_to_its_budget() {
    let rig = TestEngine::with_cache(Some(1)).await;
    let mut most = 0;
    let mut emptied = 0;
    for which in 0..40 {
        let before = rig.engine.cache_bytes();
        rig.run(rig.request(&rig.tiny.prompt(30, 100 + which), 4)).await;
        let now = rig.engine.cache_bytes();
        most = most.max(now);
        emptied += usize::from(now < before);
    }
    assert!(most <= (1 << 20) + (512 << 10), "{most}");
    assert!(emptied >= 4, "{emptied}");
}

/// Measured in child processes, because the other tests of this process allocate memory too.
#[test]
fn g_the_process_does_not_grow_with_the_number_of_requests() {
    let alone = |name: &str| {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = text.lines().find_map(|line| line.split("grew by ").nth(1));
        let grown: i64 = line.unwrap_or_else(|| panic!("{text}{errors}")).trim().parse().unwrap();
        grown
    };
    let (ours, theirs) = (alone("cache::grow_our_way"), alone("cache::grow_the_plain_way"));
    println!("{GROWTH_REQUESTS} requests: ours {} KiB, plain {} KiB", ours >> 10, theirs >> 10);
    assert!(ours < 24 << 20, "with our engine the process grew by {ours} bytes");
    assert!(theirs > 48 << 20, "with plain mistral.rs the process grew by only {theirs} bytes: trap G is gone");
}

/// Each request leaves 256 KiB in a cache that is never emptied.
const GROWTH_REQUESTS: u64 = 320;

/// Resident memory of this process in bytes.
fn resident_bytes() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<i64>().unwrap() * 4096
}

#[tokio::test]
#[ignore = "run by g_the_process_does_not_grow_with_the_number_of_requests, in a process of its own"]
async fn grow_our_way() {
    let rig = TestEngine::with_cache(Some(2)).await;
    let mut before = 0;
    for which in 0..GROWTH_REQUESTS + 40 {
        if which == 40 {
            before = resident_bytes();
        }
        rig.run(rig.request(&rig.tiny.prompt(20, 1000 + which), 2)).await;
    }
    println!("grew by {}", resident_bytes() - before);
}

#[tokio::test]
#[ignore = "run by g_the_process_does_not_grow_with_the_number_of_requests, in a process of its own"]
async fn grow_the_plain_way() {
    let rig = TestEngine::new().await;
    let mut before = 0;
    for which in 0..GROWTH_REQUESTS + 40 {
        if which == 40 {
            before = resident_bytes();
        }
        raw::ask(&rig, &rig.tiny.prompt(20, 1000 + which), raw::greedy(2), &[]).await;
    }
    println!("grew by {}", resident_bytes() - before);
}

#[tokio::test]
async fn h_penalties_count_the_whole_prompt_after_a_hit() {
    let (used, fresh, plain) = (TestEngine::new().await, TestEngine::new().await, TestEngine::new().await);
    let mut prompt = used.tiny.prompt(40, 7);
    prompt.extend(used.run(used.request(&prompt, 20)).await.ids);
    let without = used.request(&prompt, 30);
    let mut with = without.clone();
    with.sampling.repetition_penalty = Some(3.0);
    with.sampling.presence_penalty = Some(2.0);
    let here = used.run(with.clone()).await;
    let there = fresh.run(with).await;
    assert!(here.report.prefilled <= 2 && there.report.prefilled == prompt.len());
    assert_eq!(here.ids, there.ids);
    assert_ne!(here.ids, plain.run(without).await.ids, "the penalties have an effect here");
}

#[tokio::test]
async fn h_the_hidden_prefix_still_bites() {
    let rig = TestEngine::new().await;
    let prompt = rig.tiny.prompt(40, 8);
    raw::ask(&rig, &prompt, raw::greedy(4), &[]).await;
    let mut branch = prompt[..30].to_vec();
    branch.extend(rig.tiny.prompt(5, 9));
    assert_ne!(branch[30], prompt[30]);
    let seen = raw::ask(&rig, &branch, raw::greedy(4), &[]).await;
    assert_eq!(seen.calls[0].context, branch[30..], "the hook sees the whole prompt: trap H is gone");
}

#[tokio::test]
async fn l_raw_logits_after_a_hit_still_bite() {
    let rig = TestEngine::new().await;
    let prompt = rig.tiny.prompt(40, 12);
    raw::ask(&rig, &prompt, raw::greedy(4), &[]).await;
    let mut branch = prompt[..30].to_vec();
    branch.extend(rig.tiny.prompt(5, 13));
    assert_ne!(branch[30], prompt[30]);
    let (mut request, mut answers) = raw::normal(&branch, raw::greedy(1), None, false);
    request.return_raw_logits = true;
    raw::send(&rig.engine.mistral(), request).await;
    let Some(Response::Raw { logits_chunks, .. }) = tokio::time::timeout(LONG, answers.recv()).await.unwrap() else {
        panic!("no raw logits");
    };
    let rows: usize = logits_chunks.iter().map(|chunk| chunk.elem_count() / rig.tiny.vocabulary_size()).sum();
    assert_eq!(rows, 5, "cached positions have logits too: trap L is gone");
}
