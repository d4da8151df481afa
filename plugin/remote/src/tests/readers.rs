//! Models that are read at the end of prompts, on an engine over real HTTP that fails as it is told.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use futures::stream;
use parking_lot::Mutex;
use rsd_core::pipeline::{
    prompt_reader::{PromptReader as _, PromptReading},
    roles::RoleError,
};
use serde_json::{Value, json};

use super::fake_engine::settings;
use crate::{
    ReaderTask, RemoteReader, RemoteSettings,
    adapters::{EngineAdapter, LlamaServerAdapter, SglangAdapter, VllmAdapter},
    transport::TransportSettings,
};

/// The token that closes a step.
const TAG: u32 = 9;
/// Two steps.
const PROMPT: [u32; 6] = [1, 2, TAG, 3, 4, TAG];

/// What the engine replies instead of what it was asked for.
#[derive(Debug, Clone)]
enum OddReply {
    Status(u16),
    /// The connection breaks off inside the reply.
    Break,
    /// Nothing is sent.
    Hang,
    /// This body.
    Body(String),
    /// These rows for the prompt.
    Rows(Value),
}

#[derive(Default)]
struct PoolingEngine {
    odd: Mutex<VecDeque<OddReply>>,
    /// Paths, bodies and sessions of the requests for scores.
    asked: Mutex<Vec<(String, Value, String)>>,
}

impl PoolingEngine {
    async fn serve() -> (Arc<Self>, String) {
        let engine = Arc::new(Self::default());
        let app = Router::new().fallback(reply).with_state(engine.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (engine, url)
    }

    fn fail_with(&self, odd: impl IntoIterator<Item = OddReply>) {
        self.odd.lock().extend(odd);
    }
}

/// vLLM's reply: a row with the step's number for each step.
fn pooled(data: &Value, tokens: usize) -> Response {
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens, "prompt_tokens_details": null});
    Json(json!({"object": "list", "data": [{"index": 0, "object": "pooling", "data": data}], "usage": usage}))
        .into_response()
}

async fn reply(State(engine): State<Arc<PoolingEngine>>, uri: Uri, headers: HeaderMap, body: String) -> Response {
    if uri.path() == "/v1/models" {
        return Json(json!({"data": [{"id": "prm", "max_model_len": 20, "meta": {"n_ctx": 20}}]})).into_response();
    }
    let body: Value = serde_json::from_str(&body).unwrap();
    let session = headers["x-session-id"].to_str().unwrap().to_owned();
    engine.asked.lock().push((uri.path().to_owned(), body.clone(), session));
    let prompt = ["input", "input_ids", "prompt"].into_iter().find_map(|name| body[name].as_array());
    let prompt: Vec<u64> = prompt.unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
    let odd = engine.odd.lock().pop_front();
    match odd {
        Some(OddReply::Status(status)) => {
            let message = Json(json!({"error": {"message": "told to fail"}}));
            return (StatusCode::from_u16(status).unwrap(), message).into_response();
        }
        Some(OddReply::Break) => {
            let parts = [Ok("{\"data\": [".to_owned()), Err(std::io::Error::other("told to break"))];
            return Body::from_stream(stream::iter(parts)).into_response();
        }
        Some(OddReply::Hang) => std::future::pending().await,
        Some(OddReply::Body(text)) => return text.into_response(),
        Some(OddReply::Rows(rows)) => return pooled(&rows, prompt.len()),
        None => {}
    }
    let steps = prompt.iter().filter(|id| **id == u64::from(TAG)).count();
    match uri.path() {
        "/pooling" => {
            let rows: Value = (1..=steps).map(|step| json!([0.0, step as f64])).collect();
            pooled(&rows, prompt.len())
        }
        "/classify" => {
            let meta = json!({"finish_reason": {"type": "length", "length": 0}, "prompt_tokens": prompt.len(),
                "cached_tokens": prompt.len() / 2});
            Json(json!({"embedding": [0.5], "meta_info": meta})).into_response()
        }
        "/completion" => {
            let top = json!([{"id": 5, "logprob": -0.5}, {"id": 1, "logprob": -2.0}]);
            Json(json!({"completion_probabilities": [{"id": 5, "top_logprobs": top}]})).into_response()
        }
        _ => {
            let top = json!({"token_id:5": -0.5, "token_id:6": -1.5});
            Json(json!({"choices": [{"logprobs": {"top_logprobs": [top]}}]})).into_response()
        }
    }
}

async fn connect(adapter: Box<dyn EngineAdapter>, task: ReaderTask, urls: &[String]) -> RemoteReader {
    let settings = settings(Some(adapter), urls);
    let transport = TransportSettings {
        reply: Duration::from_millis(400),
        max_reply: 64 << 10,
        first_wait: Duration::from_millis(5),
        ..settings.transport
    };
    let (role, section) = ("reward".to_owned(), "reward.model".to_owned());
    RemoteReader::connect(RemoteSettings { role, section, transport, ..settings }, task).await.unwrap()
}

/// A model with two outputs on vLLM, whose start was checked.
async fn started(urls: &[String]) -> RemoteReader {
    let reader = connect(Box::new(VllmAdapter), ReaderTask::Head { outputs: 2 }, urls).await;
    assert_eq!(read(&reader).await.unwrap().values, [0.0, 2.0]);
    reader
}

async fn read(reader: &RemoteReader) -> Result<PromptReading, RoleError> {
    reader.read(PROMPT.to_vec(), 7).await
}

#[tokio::test]
async fn the_newest_step_is_read_and_the_whole_prompt_is_counted_as_prefill() {
    let (engine, url) = PoolingEngine::serve().await;
    let reader = started(&[url]).await;
    let longer = reader.read([&PROMPT[..], &[5, TAG]].concat(), 7).await.unwrap();
    assert_eq!((longer.values, longer.prompt, longer.prefilled), (vec![0.0, 3.0], 8, 8));
    assert!(longer.seconds > 0.0);
    let first = reader.read(vec![1, TAG], 8).await.unwrap();
    assert_eq!(first.values, [0.0, 1.0], "a first step");
    let asked = engine.asked.lock();
    assert!(asked.iter().all(|(path, body, _)| path == "/pooling" && body["use_activation"] == json!(false)));
    assert!(asked[0].2 == asked[1].2 && asked[1].2 != asked[2].2, "a session for each answer");
}

#[tokio::test]
async fn the_last_token_alone_is_read_with_what_the_cache_held() {
    let (_, url) = PoolingEngine::serve().await;
    let reader = connect(Box::new(SglangAdapter), ReaderTask::Head { outputs: 1 }, &[url]).await;
    let found = read(&reader).await.unwrap();
    assert_eq!((found.values, found.prompt, found.prefilled), (vec![0.5], 6, 3));
}

#[tokio::test]
async fn labels_are_read_and_what_was_sent_before_counts_as_cached() {
    let (_, url) = PoolingEngine::serve().await;
    for (adapter, expected) in [
        (Box::new(VllmAdapter) as Box<dyn EngineAdapter>, vec![-0.5, -1.5]),
        (Box::new(LlamaServerAdapter), vec![-0.5, f32::NEG_INFINITY]),
    ] {
        let reader = connect(adapter, ReaderTask::Tokens(vec![5, 6]), std::slice::from_ref(&url)).await;
        let found = read(&reader).await.unwrap();
        assert_eq!((found.values, found.prefilled), (expected, 6));
        let longer = reader.read([&PROMPT[..], &[5]].concat(), 7).await.unwrap();
        assert_eq!((longer.prompt, longer.prefilled), (7, 1));
    }
    let reader = connect(Box::new(VllmAdapter), ReaderTask::Tokens(vec![2, 3]), &[url]).await;
    let error = read(&reader).await.unwrap_err().to_string();
    assert!(error.contains("log-probabilities of c d after a prompt of 6 tokens"), "{error}");
}

#[tokio::test]
async fn what_passes_is_asked_for_again() {
    let (engine, url) = PoolingEngine::serve().await;
    let reader = started(&[url]).await;
    for odd in [OddReply::Status(429), OddReply::Status(503), OddReply::Break] {
        let before = reader.traffic().unwrap().retries;
        engine.fail_with([odd.clone()]);
        assert_eq!(read(&reader).await.unwrap().values, [0.0, 2.0], "{odd:?}");
        assert_eq!(reader.traffic().unwrap().retries, before + 1, "{odd:?}");
    }
}

#[tokio::test]
async fn a_reply_that_is_none_to_the_prompt_says_what_was_asked_and_what_came_back() {
    let (engine, url) = PoolingEngine::serve().await;
    let reader = started(std::slice::from_ref(&url)).await;
    let asked = "it was asked for the 2 outputs of a head after 6 tokens, of which 2 are step tokens (id 9)";
    for (odd, expected) in [
        (OddReply::Rows(json!([])), format!("{asked}, and returned 0 rows instead of one for each step token")),
        (OddReply::Rows(json!([[0.0, 1.0]])), format!("{asked}, and returned 1 rows instead of")),
        (OddReply::Rows(json!([[1.0], [2.0]])), format!("{asked}, and returned 1 of them")),
        (OddReply::Rows(json!([[0.0, 1.0], [0.0, null]])), "no usable `data`".to_owned()),
        (OddReply::Body("{\"data\": [{\"data\": [[NaN, 1.0]]}]}".to_owned()), "cannot be read".to_owned()),
        (OddReply::Body("x".repeat(65 << 10)), "longer than 65536 bytes".to_owned()),
        (OddReply::Status(400), "status 400: told to fail".to_owned()),
        (OddReply::Hang, "no reply (timeouts.reply_ms)".to_owned()),
    ] {
        engine.fail_with([odd.clone()]);
        let before = engine.asked.lock().len();
        let error = read(&reader).await.unwrap_err();
        assert!(matches!(&error, RoleError::Failed { role, .. } if role == "reward"), "{error}");
        let error = error.to_string();
        assert!(error.contains(&expected) && error.contains(&url), "{odd:?}: {error}");
        assert_eq!(engine.asked.lock().len(), before + 1, "{odd:?}: asked once");
        assert_eq!(reader.traffic().unwrap().in_flight, 0);
    }
    assert_eq!(read(&reader).await.unwrap().values, [0.0, 2.0], "the engine is used again");
}

#[tokio::test]
async fn the_first_reply_must_show_which_tokens_are_pooled() {
    let (engine, url) = PoolingEngine::serve().await;
    for (rows, expected) in [
        (
            json!([[0.0, 1.0], [0.0, 1.5], [0.0, 2.0]]),
            "returned 3 rows instead of one for the last token, for each step",
        ),
        (json!([[0.75, 0.25], [0.125, 0.875]]), "returned probabilities although none were asked for"),
    ] {
        let reader = connect(Box::new(VllmAdapter), ReaderTask::Head { outputs: 2 }, std::slice::from_ref(&url)).await;
        engine.fail_with([OddReply::Rows(rows)]);
        let error = read(&reader).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn an_engine_that_hangs_or_is_ill_is_replaced_and_left_alone() {
    let (first, first_url) = PoolingEngine::serve().await;
    let (_, second_url) = PoolingEngine::serve().await;
    let reader = started(&[first_url, second_url]).await;
    first.fail_with([OddReply::Hang]);
    assert_eq!(read(&reader).await.unwrap().values, [0.0, 2.0]);
    first.fail_with([const { OddReply::Status(500) }; 5]);
    for _ in 0..5 {
        assert_eq!(read(&reader).await.unwrap().values, [0.0, 2.0]);
    }
    let traffic = reader.traffic().unwrap();
    assert!(!traffic.endpoints[0].usable && traffic.endpoints[1].usable, "{traffic:?}");
    assert!(reader.health().running);
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_before_anything_is_sent() {
    let (engine, url) = PoolingEngine::serve().await;
    let reader = started(std::slice::from_ref(&url)).await;
    let error = reader.read(vec![TAG; 20], 7).await.unwrap_err();
    assert!(matches!(error, RoleError::ContextExceeded { tokens: 20, context: 20, .. }), "{error}");
    assert_eq!(engine.asked.lock().len(), 1);
    let settings = settings(Some(Box::new(LlamaServerAdapter)), &[url]);
    let settings = RemoteSettings { section: "reward.model".to_owned(), ..settings };
    let error = RemoteReader::connect(settings, ReaderTask::Head { outputs: 2 }).await.err().unwrap();
    assert_eq!(error.to_string(), "reward.model.remote: llama_server runs no reward heads: use vllm or sglang");
}
