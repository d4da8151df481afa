//! Runs on engines that fail.

use std::{
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use rsd_core::pipeline::roles::Generator as _;

use super::fake_engine::{EngineFault, EngineKind, FakeEngine, connect, request, steps};

const RECITAL: &str = "first step.\n\nsecond step\n\nend";

#[tokio::test]
async fn a_stream_that_breaks_off_is_continued_where_it_was() {
    use EngineFault::{Break, End, ErrorEvent, Hang};
    for fault in [Break(7), End(7), ErrorEvent(7), Hang(7), Break(0), End(0)] {
        let (engine, url) = FakeEngine::serve(RECITAL, 3).await;
        let model = connect(EngineKind::Vllm, &[url]).await;
        engine.started.store(1, SeqCst);
        engine.faults.lock().push_back(fault);
        let (steps, error) = steps(&mut model.start(request(&model, "abc")).await.unwrap()).await;
        assert_eq!(error, None, "{fault:?}");
        let tokens: Vec<u32> = steps.into_iter().flat_map(|step| step.tokens).collect();
        assert_eq!(tokens, engine.recital, "{fault:?}");
    }
}

#[tokio::test]
async fn an_engine_that_is_down_ends_the_run_with_its_address_and_the_reason() {
    let (engine, url) = FakeEngine::serve(RECITAL, 3).await;
    let model = connect(EngineKind::Vllm, std::slice::from_ref(&url)).await;
    engine.started.store(1, SeqCst);
    engine.faults.lock().extend([EngineFault::Status(503); 40]);
    let began = Instant::now();
    let (steps, error) = steps(&mut model.start(request(&model, "abc")).await.unwrap()).await;
    let error = error.unwrap();
    assert!(steps.is_empty() && error.contains(&url) && error.contains("told to fail"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10));
    let traffic = model.traffic().unwrap();
    assert!(traffic.errors.contains(&("status", 5)), "{traffic:?}");
    assert!(!model.health().running, "five failures in a row");
}

#[tokio::test]
async fn an_engine_that_rejects_a_request_is_not_asked_again_and_is_well() {
    let (engine, url) = FakeEngine::serve(RECITAL, 3).await;
    let model = connect(EngineKind::LlamaServer, &[url]).await;
    engine.started.store(1, SeqCst);
    engine.faults.lock().extend([EngineFault::Status(400)]);
    let (_, error) = steps(&mut model.start(request(&model, "abc")).await.unwrap()).await;
    assert!(error.unwrap().contains("status 400: told to fail"));
    assert_eq!((model.traffic().unwrap().retries, model.health().running), (0, true));
}

#[tokio::test]
async fn another_address_takes_over_and_the_first_one_is_used_again_once_it_is_well() {
    let (first, first_url) = FakeEngine::serve(RECITAL, 3).await;
    let (second, second_url) = FakeEngine::serve(RECITAL, 3).await;
    let model = connect(EngineKind::Vllm, &[first_url, second_url]).await;
    first.started.store(1, SeqCst);
    first.faults.lock().extend([EngineFault::Status(502); 6]);
    for _ in 0..6 {
        let (_, error) = steps(&mut model.start(request(&model, "abc")).await.unwrap()).await;
        assert_eq!(error, None);
    }
    let traffic = model.traffic().unwrap();
    assert_eq!((traffic.failovers, second.completions.load(SeqCst)), (5, 6), "{traffic:?}");
    assert_eq!(traffic.endpoints.iter().map(|endpoint| endpoint.usable).collect::<Vec<_>>(), [false, true]);
    first.faults.lock().clear();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let served = first.completions.load(SeqCst);
    steps(&mut model.start(request(&model, "abc")).await.unwrap()).await;
    assert_eq!(first.completions.load(SeqCst), served + 1);
    assert!(model.traffic().unwrap().endpoints[0].usable);
}

fn any_fault() -> impl Strategy<Value = EngineFault> {
    prop_oneof![
        Just(EngineFault::Status(503)),
        Just(EngineFault::Status(429)),
        Just(EngineFault::Status(400)),
        (0usize..20).prop_map(EngineFault::Break),
        (0usize..20).prop_map(EngineFault::End),
        (0usize..20).prop_map(EngineFault::ErrorEvent),
        (0usize..20).prop_map(EngineFault::Hang),
        (0usize..20).prop_map(EngineFault::Garbage),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_the_text_is_whole_or_a_beginning_with_an_error(
        faults in proptest::collection::vec(any_fault(), 0..4),
        whole_replies in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let kind = if whole_replies { EngineKind::LlamaServer } else { EngineKind::Vllm };
            let (engine, url) = FakeEngine::serve(RECITAL, 3).await;
            let model = connect(kind, &[url]).await;
            engine.started.store(1, SeqCst);
            engine.faults.lock().extend(faults);
            let began = Instant::now();
            let (steps, error) = steps(&mut model.start(request(&model, "abc")).await.unwrap()).await;
            let tokens: Vec<u32> = steps.into_iter().flat_map(|step| step.tokens).collect();
            assert!(engine.recital.starts_with(&tokens), "nothing twice, nothing lost");
            assert_eq!(error.is_none(), tokens == engine.recital, "{error:?}");
            assert!(began.elapsed() < Duration::from_secs(60));
            assert_eq!(model.traffic().unwrap().in_flight, 0);
        });
    }
}
