//! The resident reward: a draft with exposed hidden states decodes the same tokens as the plain one, its states can be
//! read, and scoring takes no additional forward pass.

use std::path::Path;

use candle_core::{Device, Tensor, quantized::gguf_file::Content};
use mistralrs_rsd::{
    deploy::observable_draft,
    engine::{Engine, EngineSpec},
};
use rsd_config::RoleConfig;
use rsd_core::{
    pipeline::{
        roles::{Generator, RunRequest},
        segment::StepBoundary,
    },
    sampling::Sampling,
};
use rsd_head::state_layout::StateLayout;
use rsd_tests::tiny_model::{HIDDEN, TinyModel, UNALIGNED_HIDDEN};

use crate::test_engine::{FinishedRun, TestEngine, distance};

async fn plain() -> TestEngine {
    let tiny = TinyModel::gguf(1).unwrap();
    let engine = Engine::load("draft", tiny.spec().unwrap()).await.unwrap();
    TestEngine { tiny, engine }
}

/// The same model with exposed hidden states.
async fn exposed() -> TestEngine {
    let tiny = TinyModel::gguf(1).unwrap();
    let observed = Box::pin(observable_draft(&tiny.role())).await.unwrap();
    let spec: EngineSpec = observed.spec;
    assert_eq!(spec.states, StateLayout::Last(HIDDEN));
    let engine = Box::pin(Engine::load("draft", spec)).await.unwrap();
    TestEngine { tiny, engine }
}

fn in_steps(rig: &TestEngine, sampling: &Sampling) -> RunRequest {
    let mut request = rig.request(&rig.tiny.prompt(30, 3), 60);
    request.sampling = Sampling { logit_bias: rig.no_ends(), ..sampling.clone() };
    request.segmentation.boundary = StepBoundary::Tokens(7);
    request.logprobs = Some(0);
    request
}

fn seeded() -> Sampling {
    Sampling { temperature: 0.9, top_p: Some(0.95), top_k: Some(50), seed: 5, ..Sampling::default() }
}

#[tokio::test]
async fn a_model_with_exposed_states_decodes_what_the_plain_one_decodes_with_no_forward_more() {
    let (plain, exposed) = (plain().await, exposed().await);
    let penalties = Sampling { repetition_penalty: Some(1.2), ..Sampling::default() };
    for sampling in [Sampling::default(), seeded(), penalties] {
        let request = in_steps(&plain, &sampling);
        let before = plain.run(request.clone()).await;
        let after = exposed.run(RunRequest { features: true, ..request }).await;
        assert_eq!(before.ids, after.ids);
        assert_eq!(before.report.forwards, after.report.forwards);
        assert!(before.report.forwards <= before.ids.len() + 1, "{:?}", before.report);
        assert!(before.steps.iter().all(|step| step.features.is_none()));
        assert!(after.steps.iter().all(|step| step.features.is_some()));
        let logprobs =
            |run: &FinishedRun| -> Vec<_> { run.steps.iter().flat_map(|step| step.logprobs.clone()).collect() };
        assert_eq!(logprobs(&before), logprobs(&after));
    }
}

#[tokio::test]
async fn the_state_that_is_read_is_the_one_that_made_the_logits() {
    let rig = exposed().await;
    let mut request = in_steps(&rig, &seeded());
    request.features = true;
    let written = rig.run(request).await;
    let output = output_matrix(rig.tiny.path());
    for step in &written.steps {
        let features = step.features.as_ref().unwrap();
        let state = Tensor::from_vec(features.last.clone(), (HIDDEN, 1), &Device::Cpu).unwrap();
        let logits: Vec<f32> = output.matmul(&state).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let log_z = most + logits.iter().map(|logit| (logit - most).exp()).sum::<f32>().ln();
        let last = step.logprobs.last().unwrap();
        let found = logits[last.id as usize] - log_z;
        assert!((found - last.logprob).abs() < 1e-3, "{found} {}", last.logprob);
        let mean = step.logprobs.iter().map(|token| token.logprob).sum::<f32>() / step.logprobs.len() as f32;
        assert!((features.statistics[0] - mean).abs() < 1e-3);
    }
}

#[tokio::test]
async fn a_replayed_answer_has_the_features_it_was_decoded_with() {
    let rig = exposed().await;
    let mut request = in_steps(&rig, &seeded());
    request.features = true;
    let written = rig.run(request.clone()).await;
    let read = rig.engine.replay(request.clone(), written.ids.clone()).await.unwrap();
    assert_eq!(read.len(), written.steps.len());
    for (read, written) in read.iter().zip(&written.steps) {
        assert_eq!((&read.tokens, &read.bytes, read.end), (&written.tokens, &written.bytes, written.end));
        let (a, b) = (read.features.as_ref().unwrap(), written.features.as_ref().unwrap());
        assert!(distance(&a.last, &b.last) < 1e-3 && distance(&a.mean, &b.mean) < 1e-3);
        assert!(distance(&a.statistics, &b.statistics) < 1e-3, "{:?} {:?}", a.statistics, b.statistics);
    }
    // With room for one more token the replay ends at the end of its tokens.
    request.max_tokens = written.ids.len() + 1;
    let ended = rig.engine.replay(request.clone(), written.ids.clone()).await.unwrap();
    assert_eq!(ended.iter().map(|step| step.tokens.len()).sum::<usize>(), written.ids.len());
    assert_eq!(ended.last().unwrap().end, rsd_core::pipeline::roles::StepEnd::EndOfText);
    // Afterwards the engine decodes as before.
    request.max_tokens = 60;
    assert_eq!(rig.run(request).await.ids, written.ids);
}

#[tokio::test]
async fn a_long_answer_is_replayed_in_windows_and_is_the_same() {
    let rig = exposed().await;
    let mut request = RunRequest { features: true, max_tokens: 1300, ..in_steps(&rig, &seeded()) };
    request.segmentation.boundary = StepBoundary::Tokens(50);
    let written = rig.run(request.clone()).await;
    assert_eq!(written.ids.len(), 1300);
    let read = rig.engine.replay(request.clone(), written.ids.clone()).await.unwrap();
    assert!(rig.engine.cache_bytes() > 0, "the text before the last window was not put into the cache");
    assert_eq!(read.len(), written.steps.len());
    for (read, written) in read.iter().zip(&written.steps) {
        assert_eq!((&read.tokens, read.end), (&written.tokens, written.end));
        let (a, b) = (read.features.as_ref().unwrap(), written.features.as_ref().unwrap());
        assert!(distance(&a.last, &b.last) < 1e-3 && distance(&a.mean, &b.mean) < 1e-3);
    }
    assert_eq!(rig.run(request).await.ids, written.ids, "the engine decodes something else afterwards");
}

#[tokio::test]
async fn a_model_without_exposed_states_is_not_read_as_if_it_had_them() {
    let tiny = TinyModel::gguf(1).unwrap();
    let spec = EngineSpec { states: StateLayout::Last(HIDDEN), ..tiny.spec().unwrap() };
    let error = Engine::load("draft", spec).await.err().unwrap().to_string();
    assert!(error.contains("the draft model") && error.contains("does not expose them"), "{error}");
}

/// The padded copy differs in one matrix of zeros and in the order of sums, so that what it decodes is the same.
#[tokio::test]
async fn a_padded_model_decodes_and_exposes_what_the_model_without_padding_does() {
    let load = async |requantize: bool| {
        let tiny = TinyModel::gguf_with_unaligned_rows(1).unwrap();
        let role = RoleConfig { requantize: Some(requantize), ..tiny.role() };
        let spec = Box::pin(observable_draft(&role)).await.unwrap().spec;
        assert_eq!(spec.states, StateLayout::Last(UNALIGNED_HIDDEN));
        let padded = tiny.path().join("tiny.padded.states.gguf");
        assert_eq!(padded.exists(), requantize);
        let columns = if requantize { 512 } else { UNALIGNED_HIDDEN };
        let shown = if requantize { padded } else { tiny.path().join("tiny.states.gguf") };
        let mut file = std::fs::File::open(shown).unwrap();
        let output = Content::read(&mut file).unwrap().tensor_infos["output.weight"].shape.clone();
        assert_eq!(output.dims(), [tiny.vocabulary_size() + UNALIGNED_HIDDEN, columns]);
        TestEngine { engine: Box::pin(Engine::load("draft", spec)).await.unwrap(), tiny }
    };
    let (plain, padded) = (load(false).await, load(true).await);
    for sampling in [Sampling::default(), seeded()] {
        let request = RunRequest { features: true, ..in_steps(&plain, &sampling) };
        let (plain, padded) = (plain.run(request.clone()).await, padded.run(request).await);
        assert_eq!(plain.ids, padded.ids);
        for (plain, padded) in plain.steps.iter().zip(&padded.steps) {
            let (a, b) = (plain.features.as_ref().unwrap(), padded.features.as_ref().unwrap());
            assert!(distance(&a.last, &b.last) < 1e-3 && distance(&a.mean, &b.mean) < 1e-3);
            assert!(distance(&a.statistics, &b.statistics) < 1e-3);
        }
    }
}

#[tokio::test]
async fn clones_of_an_engine_are_one_model_and_another_engine_is_not() {
    let (one, other) = (plain().await.engine, plain().await.engine);
    assert!(one.engine_id().is_some() && one.engine_id() == one.clone().engine_id());
    assert_ne!(one.engine_id(), other.engine_id());
}

fn output_matrix(folder: &Path) -> Tensor {
    let mut file = std::fs::File::open(folder.join("tiny.gguf")).unwrap();
    let content = Content::read(&mut file).unwrap();
    content.tensor(&mut file, "output.weight", &Device::Cpu).unwrap().dequantize(&Device::Cpu).unwrap()
}
