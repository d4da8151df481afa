//! Long prompts: trap R, a forward pass that cannot be interrupted.

use std::{sync::Arc, time::Duration};

use rsd_core::pipeline::roles::Generator;
use tokio::time::timeout;

use crate::{
    raw::{self, SpyProcessor},
    test_engine::{LONG, ROUNDING, TestEngine, collect, distance},
};

/// Nearly four windows.
const LENGTH: usize = 1900;

#[tokio::test]
async fn r_a_prompt_in_windows_gives_the_logits_of_the_whole_and_is_counted_once() {
    let (rig, whole) = (TestEngine::new().await, TestEngine::new().await);
    let prompt = rig.tiny.prompt(LENGTH, 30);
    let run = rig.run(rig.request(&prompt, 12)).await;
    assert_eq!((run.report.prefilled, run.report.prompt), (LENGTH, LENGTH));
    let raw = raw::ask(&whole, &prompt, raw::greedy(12), &run.ids).await;
    assert_eq!(raw.calls[0].context.len(), LENGTH);
    let again = TestEngine::new().await;
    let read: Vec<u32> = (0..64).collect();
    let reading = again.engine.read_logits(prompt.clone(), read.clone()).await.unwrap();
    assert_eq!((reading.prefilled, reading.prompt), (LENGTH, LENGTH));
    let expected: Vec<f32> = read.iter().map(|id| raw.calls[0].logits[*id as usize]).collect();
    assert!(distance(&reading.logits, &expected) < ROUNDING);
    // Where the best token leads by more than the rounding, both ways choose it.
    assert_eq!(run.ids[0], raw.chosen(&whole)[0]);
}

#[tokio::test]
async fn r_what_follows_a_prompt_in_windows_finds_it_in_the_cache() {
    let (rig, fresh) = (TestEngine::new().await, TestEngine::new().await);
    let whole = rig.request(&rig.tiny.prompt(LENGTH, 31), 60);
    let (ids, reports) = rig.cut(&whole, 15).await;
    assert_eq!(reports[0].prefilled, LENGTH);
    assert!(reports[1..].iter().all(|report| report.prefilled <= 2), "{reports:?}");
    assert_eq!(ids, fresh.run(whole).await.ids);
}

#[tokio::test]
async fn r_a_long_prompt_that_is_left_is_not_computed_to_its_end() {
    let rig = TestEngine::new().await;
    let prompt = rig.tiny.prompt(LENGTH, 32);
    let empty = rig.engine.cache_bytes();
    let run = rig.engine.start(rig.request(&prompt, 20)).await.unwrap();
    let first_window = async {
        while rig.engine.cache_bytes() == empty {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, first_window).await.expect("no window is in the cache");
    let report = run.finish().await;
    assert!((1..LENGTH - 400).contains(&report.prefilled) && report.generated == 0, "{report:?}");
    // The next request has the engine, and uses what was computed.
    let run = collect(rig.engine.start(rig.request(&prompt, 20)).await.unwrap()).await;
    assert_eq!(run.report.prefilled + report.prefilled, LENGTH);
    let fresh = TestEngine::new().await;
    assert_eq!(run.ids, fresh.run(fresh.request(&prompt, 20)).await.ids);
}

#[tokio::test]
async fn r_a_prompt_whose_client_left_still_bites() {
    let rig = TestEngine::new().await;
    let spy = Arc::new(SpyProcessor::default());
    let (request, answers) = raw::normal(&rig.tiny.prompt(LENGTH, 33), raw::greedy(2), Some(spy.clone()), true);
    raw::send(&rig.engine.mistral(), request).await;
    drop(answers);
    let computed = async {
        while spy.calls.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(LONG, computed).await.is_ok(), "the prompt was not computed: trap R is gone");
    assert_eq!(spy.calls.lock()[0].context.len(), LENGTH);
}
