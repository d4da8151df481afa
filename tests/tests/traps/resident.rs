//! The resident reward: a grafted draft writes what the plain one writes, its state can be read, and judging takes
//! no forward pass more.

use std::path::Path;

use candle_core::{Device, Tensor, quantized::gguf_file::Content};
use mistralrs_rsd::{
    deploy::observed_draft,
    engine::{Engine, EngineSpec, States},
    pipeline::{
        roles::{Generator, RunRequest},
        segment::Boundary,
    },
    sampling::Sampling,
};
use rsd_tests::tiny::{HIDDEN, Tiny};

use crate::rig::{Rig, Written, distance};

async fn plain() -> Rig {
    let tiny = Tiny::gguf(1).unwrap();
    let engine = Engine::load("draft", tiny.spec().unwrap()).await.unwrap();
    Rig { tiny, engine }
}

/// The same model with its states to be seen.
async fn grafted() -> Rig {
    let tiny = Tiny::gguf(1).unwrap();
    let observed = observed_draft(&tiny.role()).await.unwrap();
    let spec: EngineSpec = observed.spec;
    assert_eq!(spec.states, States::Last(HIDDEN));
    let engine = Engine::load("draft", spec).await.unwrap();
    Rig { tiny, engine }
}

fn in_steps(rig: &Rig, sampling: Sampling) -> RunRequest {
    let mut request = rig.request(&rig.tiny.prompt(30, 3), 60);
    request.sampling = Sampling { logit_bias: rig.no_ends(), ..sampling };
    request.segmentation.boundary = Boundary::Tokens(7);
    request.logprobs = Some(0);
    request
}

fn seeded() -> Sampling {
    Sampling { temperature: 0.9, top_p: Some(0.95), top_k: Some(50), seed: 5, ..Sampling::default() }
}

#[tokio::test]
async fn a_grafted_model_writes_what_the_plain_one_writes_with_no_forward_more() {
    let (plain, grafted) = (plain().await, grafted().await);
    let penalties = Sampling { repetition_penalty: Some(1.2), ..Sampling::default() };
    for sampling in [Sampling::default(), seeded(), penalties] {
        let request = in_steps(&plain, sampling);
        let before = plain.run(request.clone()).await;
        let after = grafted.run(RunRequest { features: true, ..request }).await;
        assert_eq!(before.ids, after.ids);
        assert_eq!(before.report.forwards, after.report.forwards);
        assert!(before.report.forwards <= before.ids.len() + 1, "{:?}", before.report);
        assert!(before.steps.iter().all(|step| step.features.is_none()));
        assert!(after.steps.iter().all(|step| step.features.is_some()));
        let logprobs = |run: &Written| -> Vec<_> { run.steps.iter().flat_map(|step| step.logprobs.clone()).collect() };
        assert_eq!(logprobs(&before), logprobs(&after));
    }
}

#[tokio::test]
async fn the_state_that_is_read_is_the_one_that_made_the_logits() {
    let rig = grafted().await;
    let mut request = in_steps(&rig, seeded());
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
async fn an_answer_read_again_has_the_features_it_was_written_with() {
    let rig = grafted().await;
    let mut request = in_steps(&rig, seeded());
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
    // With room for one token more the script ends by itself.
    request.max_tokens = written.ids.len() + 1;
    let ended = rig.engine.replay(request.clone(), written.ids.clone()).await.unwrap();
    assert_eq!(ended.iter().map(|step| step.tokens.len()).sum::<usize>(), written.ids.len());
    assert_eq!(ended.last().unwrap().end, mistralrs_rsd::pipeline::roles::StepEnd::EndOfText);
    // And the engine writes on as before.
    request.max_tokens = 60;
    assert_eq!(rig.run(request).await.ids, written.ids);
}

#[tokio::test]
async fn a_long_answer_is_read_in_windows_and_is_the_same() {
    let rig = grafted().await;
    let mut request = RunRequest { features: true, max_tokens: 1300, ..in_steps(&rig, seeded()) };
    request.segmentation.boundary = Boundary::Tokens(50);
    let written = rig.run(request.clone()).await;
    assert_eq!(written.ids.len(), 1300);
    let read = rig.engine.replay(request.clone(), written.ids.clone()).await.unwrap();
    assert!(rig.engine.cache_bytes() > 0, "what comes before the last window was put into the cache");
    assert_eq!(read.len(), written.steps.len());
    for (read, written) in read.iter().zip(&written.steps) {
        assert_eq!((&read.tokens, read.end), (&written.tokens, written.end));
        let (a, b) = (read.features.as_ref().unwrap(), written.features.as_ref().unwrap());
        assert!(distance(&a.last, &b.last) < 1e-3 && distance(&a.mean, &b.mean) < 1e-3);
    }
    assert_eq!(rig.run(request).await.ids, written.ids, "and the engine writes on as before");
}

#[tokio::test]
async fn a_model_that_was_not_grafted_is_not_read_as_if_it_were() {
    let tiny = Tiny::gguf(1).unwrap();
    let spec = EngineSpec { states: States::Last(HIDDEN), ..tiny.spec().unwrap() };
    let refused = Engine::load("draft", spec).await.err().unwrap().to_string();
    assert!(refused.contains("the draft model") && refused.contains("was not grafted"), "{refused}");
}

#[tokio::test]
async fn clones_of_an_engine_are_one_model_and_another_engine_is_not() {
    let (one, other) = (plain().await.engine, plain().await.engine);
    assert!(one.identity().is_some() && one.identity() == one.clone().identity());
    assert_ne!(one.identity(), other.identity());
}

fn output_matrix(folder: &Path) -> Tensor {
    let mut file = std::fs::File::open(folder.join("tiny.gguf")).unwrap();
    let content = Content::read(&mut file).unwrap();
    content.tensor(&mut file, "output.weight", &Device::Cpu).unwrap().dequantize(&Device::Cpu).unwrap()
}
