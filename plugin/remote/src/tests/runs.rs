//! Runs on engines that are well.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use rsd_core::pipeline::roles::{Generator as _, RoleError, RunRequest, Step, StepEnd};

use super::fake_engine::{EngineKind, FakeEngine, connect, request, steps};

const RECITAL: &str = "\n\nfirst step.\n\nsecond\n\n\nthe third step is longer than the limit\n\nend";

#[tokio::test]
async fn a_run_is_cut_into_the_same_steps_by_a_stream_and_by_single_replies() {
    let mut found = Vec::new();
    for kind in [EngineKind::Vllm, EngineKind::LlamaServer] {
        let (engine, url) = FakeEngine::serve(RECITAL, 3).await;
        let model = connect(kind, &[url]).await;
        let before = engine.completions.load(SeqCst);
        let mut run = model.start(request(&model, "abc")).await.unwrap();
        let (steps, error) = steps(&mut run).await;
        assert_eq!(error, None);
        let text: Vec<_> = steps.iter().map(|step| (step.text(), step.end)).collect();
        assert_eq!(steps.iter().flat_map(|step| step.tokens.clone()).collect::<Vec<_>>(), engine.recital);
        let report = run.finish().await;
        assert_eq!(report.generated, engine.recital.len());
        assert!(report.prefilled > 0 && report.prefilled < report.prompt, "{report:?}");
        assert!(report.prefill_seconds <= report.seconds);
        let completions = engine.completions.load(SeqCst) - before;
        assert!(if kind == EngineKind::Vllm { completions == 1 } else { completions >= 4 }, "{completions}");
        found.push(text);
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(
        found[0],
        [
            ("\n\nfirst step.\n\n".to_owned(), StepEnd::Boundary),
            ("second\n\n".to_owned(), StepEnd::Boundary),
            ("\nthe third step is l".to_owned(), StepEnd::StepLimit),
            ("onger than the limit".to_owned(), StepEnd::StepLimit),
            ("\n\nend".to_owned(), StepEnd::EndOfText),
        ]
    );
}

#[tokio::test]
async fn a_single_step_and_a_limit_on_tokens_end_a_run() {
    for kind in [EngineKind::Vllm, EngineKind::LlamaServer] {
        let (_engine, url) = FakeEngine::serve(RECITAL, 3).await;
        let model = connect(kind, &[url]).await;
        let one = RunRequest { max_steps: Some(1), ..request(&model, "abc") };
        let (single, _) = steps(&mut model.start(one).await.unwrap()).await;
        assert_eq!(single.iter().map(Step::text).collect::<Vec<_>>(), ["\n\nfirst step.\n\n"]);
        let short = RunRequest { max_tokens: 20, ..request(&model, "abc") };
        let (cut, _) = steps(&mut model.start(short).await.unwrap()).await;
        assert_eq!(cut.last().map(|step| step.end), Some(StepEnd::Length));
        assert_eq!(cut.iter().map(|step| step.tokens.len()).sum::<usize>(), 20);
    }
}

#[tokio::test]
async fn runs_one_after_another_use_one_connection() {
    let (engine, url) = FakeEngine::serve(RECITAL, 3).await;
    let model = connect(EngineKind::Vllm, &[url]).await;
    for _ in 0..4 {
        let (_, error) = steps(&mut model.start(request(&model, "abc")).await.unwrap()).await;
        assert_eq!(error, None);
    }
    assert_eq!(engine.connections.load(SeqCst), 1);
}

#[tokio::test]
async fn a_run_that_is_finished_with_its_last_step_leaves_its_connection_for_the_next() {
    let (engine, url) = FakeEngine::serve("first step.\n\nsecond", 3).await;
    // What follows the last token is still on its way when the run is finished.
    *engine.pace.lock() = Duration::from_millis(5);
    let model = connect(EngineKind::Vllm, &[url]).await;
    for _ in 0..4 {
        let one = RunRequest { max_steps: Some(1), ..request(&model, "abc") };
        let mut run = model.start(one).await.unwrap();
        assert!(run.next().await.unwrap().is_ok());
        let report = run.finish().await;
        assert_eq!((report.prompt, report.prefilled), (3, 2), "the engine says that its cache held one token");
    }
    assert_eq!(engine.connections.load(SeqCst), 1);
}

#[tokio::test]
async fn a_run_that_is_dropped_frees_the_engine() {
    let (engine, url) = FakeEngine::serve(&"word ".repeat(70), 3).await;
    let model = connect(EngineKind::Vllm, &[url]).await;
    for accepts in [true, false] {
        let mut run = model.start(request(&model, "abc")).await.unwrap();
        assert!(run.next().await.unwrap().is_ok());
        if accepts {
            let report = run.finish().await;
            assert!(report.generated >= 20, "{report:?}");
        } else {
            drop(run);
        }
        for _ in 0..200 {
            if engine.open.load(SeqCst) == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(engine.open.load(SeqCst), 0);
    }
    assert_eq!(model.traffic().unwrap().in_flight, 0);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_before_anything_is_sent() {
    let (engine, url) = FakeEngine::serve(RECITAL, 3).await;
    let model = connect(EngineKind::Vllm, &[url]).await;
    let sent = engine.completions.load(SeqCst);
    let long = RunRequest { prefix: vec![1; 400], ..request(&model, "abc") };
    assert!(matches!(
        model.start(long).await.err(),
        Some(RoleError::ContextExceeded { tokens: 400, context: 400, .. })
    ));
    assert!(model.start(RunRequest { max_tokens: 0, ..request(&model, "abc") }).await.is_err());
    assert_eq!(engine.completions.load(SeqCst), sent);
}

#[tokio::test]
async fn many_answers_at_once_all_come_whole() {
    let (engine, url) = FakeEngine::serve(RECITAL, 3).await;
    let model = connect(EngineKind::Vllm, &[url]).await;
    let answers = (0..64).map(|_| async {
        let mut run = model.start(request(&model, "abc")).await.unwrap();
        let (steps, error) = steps(&mut run).await;
        assert_eq!(error, None);
        steps.into_iter().flat_map(|step| step.tokens).collect::<Vec<_>>()
    });
    for answer in futures::future::join_all(answers).await {
        assert_eq!(answer, engine.recital);
    }
    let traffic = model.traffic().unwrap();
    assert_eq!((traffic.in_flight, traffic.waiting), (0, 0));
}
