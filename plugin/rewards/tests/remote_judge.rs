//! A judge on a remote engine, in the loop: its grades decide, its cost is counted, and without it the target decodes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use parking_lot::Mutex;
use rsd_core::pipeline::{Rsd, roles::RewardModel as _, testing::World, trace::StepSource};
use rsd_remote::{
    ReaderTask, RemoteReader, RemoteSettings, adapters::LlamaServerAdapter, transport::TransportSettings,
};
use rsd_rewards::JudgeReward;
use rsd_vocabulary::Vocabulary;
use serde_json::{Map, Value, json};

/// A tokenizer of single bytes with one control token.
fn vocabulary() -> Vocabulary {
    // The printable ones stand for themselves, `Ġ` and `Ċ` for a space and the end of a line.
    let letters = ('!'..='~').chain(['Ġ', 'Ċ']);
    let vocabulary: Map<_, _> = letters.zip(0..).map(|(letter, id)| (letter.to_string(), json!(id))).collect();
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false});
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [{"id": 200, "content": "<|endoftext|>", "special": true, "single_word": false,
            "lstrip": false, "rstrip": false, "normalized": false}],
        "pre_tokenizer": byte_level, "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), tokenizer.to_string()).unwrap();
    Vocabulary::from_file(file.path()).unwrap()
}

/// llama.cpp's server, which gives every step the same grade.
#[derive(Default)]
struct GradingEngine {
    grade: Mutex<u32>,
    down: AtomicBool,
    prompts: Mutex<Vec<Value>>,
}

async fn template(Json(body): Json<Value>) -> Json<Value> {
    let messages = body["messages"].as_array().unwrap().iter().map(|message| message["content"].as_str().unwrap());
    Json(json!({"prompt": messages.collect::<Vec<_>>().join("<|endoftext|>")}))
}

async fn completion(State(engine): State<Arc<GradingEngine>>, Json(body): Json<Value>) -> Response {
    if engine.down.load(SeqCst) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let tokens = body["prompt"].as_array().unwrap().len();
    engine.prompts.lock().push(body["prompt"].clone());
    // Digits follow `!` to `/`, which are 15.
    let top = json!([{"id": 15 + *engine.grade.lock(), "logprob": -0.25}]);
    Json(json!({"completion_probabilities": [{"top_logprobs": top}], "tokens_evaluated": tokens,
        "timings": {"cache_n": tokens - 10}}))
    .into_response()
}

async fn connected(grade: u32) -> (Arc<JudgeReward>, Arc<GradingEngine>) {
    let engine = Arc::new(GradingEngine { grade: Mutex::new(grade), ..GradingEngine::default() });
    let models = || async { Json(json!({"data": [{"id": "judge", "meta": {"n_ctx": 4096}}]})) };
    let app = Router::new()
        .route("/v1/models", get(models))
        .route("/apply-template", post(template))
        .route("/completion", post(completion))
        .with_state(engine.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let vocabulary = Arc::new(vocabulary());
    let single = |digit: &str| vocabulary.encode(digit, false).ok()?.first().copied();
    let grades = JudgeReward::grade_tokens("judge", single).unwrap();
    let settings = RemoteSettings {
        role: "reward".to_owned(),
        section: "reward.model".to_owned(),
        adapter: Some(Box::new(LlamaServerAdapter)),
        model: None,
        vocabulary,
        renderer: None,
        template: Ok(None),
        context_length: None,
        parameters: Some(7),
        price: None,
        transport: TransportSettings { urls: vec![url], retries: 0, ..TransportSettings::default() },
    };
    let judge = JudgeReward::new(Arc::new(RemoteReader::connect(settings, ReaderTask::Tokens(grades)).await.unwrap()));
    judge.check().await.unwrap();
    (Arc::new(judge), engine)
}

/// Where the steps of a scripted answer came from, and the reasons of those without a score.
async fn sources(judge: &Arc<JudgeReward>) -> (Vec<StepSource>, Vec<String>, usize) {
    let world = World::new(7);
    let answer = world.answer_on(&Rsd { reward: judge.clone(), ..world.rsd() }).await;
    let trace = &answer.outcome().trace;
    let fallbacks = trace.steps.iter().filter_map(|step| step.fallback.as_ref().map(|reason| format!("{reason:?}")));
    (trace.steps.iter().map(|step| step.source).collect(), fallbacks.collect(), trace.totals.reward.prefilled)
}

#[tokio::test]
async fn the_grades_of_the_engine_decide_and_its_prefill_is_the_rewards() {
    let (judge, engine) = connected(9).await;
    let (steps, fallbacks, prefilled) = sources(&judge).await;
    assert!(steps.iter().all(|source| *source == StepSource::Draft) && fallbacks.is_empty(), "{steps:?} {fallbacks:?}");
    assert_eq!(prefilled, 10 * (engine.prompts.lock().len() - 1), "ten tokens for each score but that of the start");
    *engine.grade.lock() = 1;
    let (steps, ..) = sources(&judge).await;
    assert!(steps.iter().all(|source| *source == StepSource::Target), "{steps:?}");
}

#[tokio::test]
async fn without_the_engine_the_target_decodes_and_the_trace_says_why() {
    let (judge, engine) = connected(9).await;
    engine.down.store(true, SeqCst);
    let (steps, fallbacks, _) = sources(&judge).await;
    assert!(steps.iter().all(|source| *source == StepSource::Target), "{steps:?}");
    assert!(!fallbacks.is_empty() && fallbacks.iter().all(|reason| reason == "RewardFailed"), "{fallbacks:?}");
    let traffic = judge.traffic().unwrap();
    assert!(traffic.errors.iter().any(|(kind, count)| *kind == "status" && *count > 0), "{traffic:?}");
}
