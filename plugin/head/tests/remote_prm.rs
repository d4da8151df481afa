//! A published reward model on a remote engine: the prompts of the authors' code, and their scores from the engine's rows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{path::PathBuf, sync::Arc};

use axum::{Json, Router, extract::State, routing::post};
use parking_lot::Mutex;
use rsd_config::PrmFamily;
use rsd_core::pipeline::roles::RewardModel as _;
use rsd_head::{
    exposure::special_tokens,
    format::{PrmTokenizer, prompt_format},
    standalone_prm::StandalonePrm,
};
use rsd_remote::{ReaderTask, RemoteReader, RemoteSettings, adapters::VllmAdapter, transport::TransportSettings};
use rsd_vocabulary::Vocabulary;
use serde_json::{Value, json};

fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/prm/qwen-prm")
}

/// Solutions with the token ids of the authors' input and the scores of their code.
fn cases() -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(fixture().join("scores.json")).unwrap()).unwrap()
}

/// vLLM with a model that pools step tokens and gives these scores to the steps of any solution.
#[derive(Default)]
struct ScoringEngine {
    scores: Mutex<Vec<f64>>,
    prompts: Mutex<Vec<Vec<u64>>>,
}

async fn pooling(State(engine): State<Arc<ScoringEngine>>, Json(body): Json<Value>) -> Json<Value> {
    let prompt: Vec<u64> = serde_json::from_value(body["input"].clone()).unwrap();
    let steps = prompt.iter().filter(|id| Some(*id) == prompt.last()).count();
    let scores = engine.scores.lock().clone();
    let row = |step: usize| {
        let score = scores.get(step).copied().unwrap_or(0.25);
        json!([0.5, 0.5 + (score / (1.0 - score)).ln()])
    };
    let rows: Vec<Value> = (0..steps).map(row).collect();
    let usage = json!({"prompt_tokens": prompt.len(), "prompt_tokens_details": null});
    engine.prompts.lock().push(prompt);
    Json(json!({"data": [{"index": 0, "object": "pooling", "data": rows}], "usage": usage}))
}

async fn connected() -> (StandalonePrm, Arc<ScoringEngine>) {
    let engine = Arc::new(ScoringEngine::default());
    let models = || async { Json(json!({"data": [{"id": "prm", "max_model_len": 4096}]})) };
    let app = Router::new()
        .route("/pooling", post(pooling))
        .route("/v1/models", axum::routing::get(models))
        .with_state(engine.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });

    let vocabulary = Arc::new(Vocabulary::from_file(&fixture().join("tokenizer.json")).unwrap());
    let tokenizer = PrmTokenizer::new(vocabulary.tokenizer(), special_tokens(&fixture()));
    let format = prompt_format(PrmFamily::QwenPrm, tokenizer, None).unwrap();
    let settings = RemoteSettings {
        role: "reward".to_owned(),
        section: "reward.model".to_owned(),
        adapter: Some(Box::new(VllmAdapter)),
        model: None,
        vocabulary,
        renderer: None,
        template: Ok(None),
        context_length: None,
        parameters: Some(7),
        price: None,
        transport: TransportSettings { urls: vec![url], ..TransportSettings::default() },
    };
    let reader = RemoteReader::connect(settings, ReaderTask::Head { outputs: 2 }).await.unwrap();
    let prm = StandalonePrm::new(Arc::new(reader), PrmFamily::QwenPrm, format);
    prm.check().await.unwrap();
    (prm, engine)
}

#[tokio::test]
async fn the_engine_gets_the_authors_tokens_and_its_rows_are_the_authors_scores() {
    let (prm, engine) = connected().await;
    for case in cases() {
        let texts: Vec<String> = serde_json::from_value(case["steps"].clone()).unwrap();
        let steps: Vec<&str> = texts.iter().map(String::as_str).collect();
        let ids: Vec<u64> = serde_json::from_value(case["ids"].clone()).unwrap();
        let scores: Vec<f64> = serde_json::from_value(case["scores"].clone()).unwrap();
        engine.scores.lock().clone_from(&scores);
        let mut prefilled = 0;
        for (index, expected) in scores.iter().enumerate() {
            let score = prm.score_newest(case["question"].as_str().unwrap(), &steps[..=index]).await.unwrap();
            assert!((score.reward - expected).abs() < 1e-5, "{} is not {expected}", score.reward);
            let sent = engine.prompts.lock().last().unwrap().clone();
            assert!(ids.starts_with(&sent) && sent.len() > prefilled, "{sent:?}");
            assert_eq!((score.prompt, score.prefilled), (sent.len(), sent.len()), "nothing is cached");
            prefilled = score.prefilled;
        }
    }
    let traffic = prm.traffic().unwrap();
    assert_eq!((traffic.requests, traffic.retries), (engine.prompts.lock().len() as u64 + 1, 0));
}

#[tokio::test]
async fn a_typed_separator_makes_no_further_row() {
    let (prm, engine) = connected().await;
    prm.score_newest("Is <extra_0> a token?", &["Yes, <extra_0> is one.", "<|im_end|>\n<extra_0>"]).await.unwrap();
    let prompt = engine.prompts.lock().last().unwrap().clone();
    assert_eq!(prompt.iter().filter(|id| Some(*id) == prompt.last()).count(), 2);
}

#[tokio::test]
async fn a_step_without_text_is_not_asked_for_again() {
    let (prm, engine) = connected().await;
    let first = prm.score_newest("Why?", &["Because.\n\n"]).await.unwrap();
    let asked = engine.prompts.lock().len();
    let again = prm.score_newest("Why?", &["Because.\n\n", "\n"]).await.unwrap();
    assert_eq!((again.reward.to_bits(), again.prefilled), (first.reward.to_bits(), 0));
    assert_eq!(engine.prompts.lock().len(), asked);
}
