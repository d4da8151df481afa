//! Whole answers of a draft and a target that are both on remote engines.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use rsd_core::{
    pipeline::{AnswerOutcome, Request, Rsd, segment::StepBoundary, testing::World, trace::StepSource},
    policy::{AfterRejection, AnswerRoute},
};

use super::fake_engine::{EngineFault, EngineKind, FakeEngine, connect};

/// Steps of equal length, so that draft and target go on where the other one stopped.
pub(super) const DRAFT: &str = "draft one.\n\ndraft two.\n\ndraft end.\n\nlast";
pub(super) const TARGET: &str = "other one.\n\nother two.\n\nother end.\n\nlast";
pub(super) const PROMPT: &str = "abc";

struct RemotePair {
    engines: [Arc<FakeEngine>; 2],
    rsd: Rsd,
}

async fn pair(kind: EngineKind) -> RemotePair {
    let (draft_engine, draft_url) = FakeEngine::serve(DRAFT, PROMPT.len()).await;
    let (target_engine, target_url) = FakeEngine::serve(TARGET, PROMPT.len()).await;
    let (draft, target) = (connect(kind, &[draft_url]).await, connect(kind, &[target_url]).await);
    let mut world = World::new(7);
    world.settings.boundary = StepBoundary::Delimiter(vec!["\n\n".to_owned()]);
    world.runtime.steps.max_tokens = 40;
    let rsd = Rsd { draft: Arc::new(draft), target: Arc::new(target), ..world.rsd() };
    RemotePair { engines: [draft_engine, target_engine], rsd }
}

async fn answer(rsd: &Rsd, delta: f64) -> AnswerOutcome {
    let mut request = Request::text(PROMPT).max_tokens(200).delta(delta);
    request.overrides.after_rejection = Some(AfterRejection::Draft);
    rsd.complete(request).await.unwrap()
}

/// Each step is the draft's or the target's, as the trace says, and together they are the text.
fn assert_whole(rsd: &Rsd, answer: &AnswerOutcome) {
    let bytes: Vec<u8> = answer.tokens.iter().flat_map(|token| rsd.target.token_bytes(*token)).collect();
    assert_eq!(String::from_utf8(bytes).unwrap(), answer.text);
    let expected: String = answer
        .trace
        .steps
        .iter()
        .enumerate()
        .map(|(index, step)| {
            let recital = if step.source == StepSource::Draft { DRAFT } else { TARGET };
            recital.split_inclusive("\n\n").nth(index).unwrap()
        })
        .collect();
    assert_eq!(answer.text, expected);
}

#[tokio::test]
async fn the_extremes_are_the_models_alone_and_between_them_steps_of_both_make_the_text() {
    for kind in [EngineKind::Vllm, EngineKind::LlamaServer] {
        let RemotePair { rsd, .. } = pair(kind).await;
        assert_eq!(answer(&rsd, 2.0).await.text, TARGET);
        assert_eq!(answer(&rsd, 0.0).await.text, DRAFT);
        for (route, recital) in [(AnswerRoute::Draft, DRAFT), (AnswerRoute::Target, TARGET)] {
            let alone = rsd.complete(Request::text(PROMPT).max_tokens(200).route(route)).await.unwrap();
            assert_eq!(alone.text, recital);
        }
        let mut mixed = 0;
        for tenths in 1..10 {
            let found = answer(&rsd, f64::from(tenths) / 10.0).await;
            assert_whole(&rsd, &found);
            let totals = &found.trace.totals;
            mixed += usize::from(totals.accepted_steps > 0 && totals.rejected_steps > 0);
        }
        assert!(mixed > 0, "no threshold mixes the models");
    }
}

#[tokio::test]
async fn sixty_four_answers_at_once_are_all_whole_and_leave_nothing_behind() {
    let RemotePair { engines, rsd } = pair(EngineKind::Vllm).await;
    let answers = (0..64).map(|index| answer(&rsd, [0.0, 0.4, 0.6, 2.0][index % 4]));
    for found in futures::future::join_all(answers).await {
        assert_whole(&rsd, &found);
    }
    for (model, engine) in [&rsd.draft, &rsd.target].into_iter().zip(&engines) {
        let traffic = model.traffic().unwrap();
        assert_eq!((traffic.in_flight, traffic.waiting), (0, 0));
        assert!(engine.completions.load(SeqCst) >= 16);
    }
}

#[tokio::test]
async fn a_draft_that_is_down_leaves_the_answer_to_the_target() {
    let RemotePair { engines, rsd } = pair(EngineKind::Vllm).await;
    engines[0].started.store(1, SeqCst);
    engines[0].faults.lock().extend([EngineFault::Status(503); 60]);
    let found = answer(&rsd, 0.5).await;
    assert_eq!(found.text, TARGET);
    assert_eq!(found.trace.totals.accepted_steps, 0);
}
