//! An engine that answers over HTTP as vLLM or llama.cpp's server do, with a model that recites, and fails as it is told.

use std::{
    collections::VecDeque,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::post,
    serve::ListenerExt as _,
};
use futures::{StreamExt as _, stream};
use parking_lot::Mutex;
use rsd_core::pipeline::{
    roles::{Generator as _, GeneratorRun, RunRequest, Step},
    segment::{Segmentation, StepBoundary},
};
use rsd_vocabulary::Vocabulary;
use serde_json::{Map, Value, json};

use crate::{
    RemoteModel, RemoteSettings,
    adapters::{EngineAdapter, LlamaServerAdapter, VllmAdapter},
    transport::TransportSettings,
};

/// The id of the token that ends an answer.
pub(crate) const END: u32 = 50;

/// A tokenizer of single characters with one control token. `RSD_TEST_VOCABULARY` adds tokens that no text has, as many
/// as a real vocabulary holds.
pub(crate) fn tokenizer() -> Arc<Vocabulary> {
    static SHARED: LazyLock<Arc<Vocabulary>> = LazyLock::new(|| Arc::new(made_tokenizer()));
    SHARED.clone()
}

fn made_tokenizer() -> Vocabulary {
    // `Ġ` and `Ċ` stand for a space and the end of a line.
    let letters = "abcdefghijklmnopqrstuvwxyzĠĊ.,0123456789";
    let size = std::env::var("RSD_TEST_VOCABULARY").map_or(0, |size| size.parse().unwrap());
    let others = (END + 1..size).map(|id| (format!("token{id}"), json!(id)));
    let letters = letters.chars().zip(0..).map(|(letter, id)| (letter.to_string(), json!(id)));
    let vocabulary: Map<_, _> = letters.chain(others).collect();
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [{"id": END, "content": "<|endoftext|>", "special": true, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), tokenizer.to_string()).unwrap();
    Vocabulary::from_file(file.path()).unwrap()
}

/// What happens to the next completion instead of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EngineFault {
    /// This status.
    Status(u16),
    /// The connection breaks off after this many tokens.
    Break(usize),
    /// The stream ends properly after this many tokens, without its last event.
    End(usize),
    /// An error event follows this many tokens.
    ErrorEvent(usize),
    /// Nothing follows this many tokens, and the connection stays open.
    Hang(usize),
    /// Bytes that are no event follow this many tokens.
    Garbage(usize),
}

pub(crate) struct FakeEngine {
    vocabulary: Arc<Vocabulary>,
    /// The time that a stream takes for each token; slow enough that a client can leave in between.
    pub pace: Mutex<Duration>,
    /// What the model says after any prompt.
    pub recital: Vec<u32>,
    /// Tokens of the prompt, after which the recital begins.
    prompt: usize,
    pub faults: Mutex<VecDeque<EngineFault>>,
    pub completions: AtomicUsize,
    pub connections: AtomicUsize,
    /// Streams that were not sent to their end, because the client left or for a fault.
    pub open: Arc<AtomicUsize>,
    /// Whether completions fail now; the probe of the start does not.
    pub started: AtomicUsize,
    /// What it answers at other paths, by path.
    pub identity: Mutex<Map<String, Value>>,
}

impl FakeEngine {
    /// Serves it on a free port of this machine and returns its URL.
    #[allow(clippy::unused_async, reason = "a listener and a task need the runtime that only an async caller has")]
    pub(crate) async fn serve(recital: &str, prompt: usize) -> (Arc<Self>, String) {
        let vocabulary = tokenizer();
        let engine = Arc::new(Self {
            recital: vocabulary.encode(recital, false).unwrap(),
            vocabulary,
            pace: Mutex::new(Duration::from_millis(1)),
            prompt,
            faults: Mutex::default(),
            completions: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            open: Arc::default(),
            started: AtomicUsize::new(0),
            identity: Mutex::new(Map::from_iter([(
                "/v1/models".to_owned(),
                json!({"data": [{"id": "fake", "max_model_len": 400, "meta": {"n_ctx": 400}}]}),
            )])),
        });
        let app = Router::new()
            .route("/v1/completions", post(complete))
            .route("/completion", post(complete))
            .route("/generate", post(generate))
            .fallback(identity)
            .with_state(engine.clone());
        // As many connections may wait to be accepted as at vLLM's server. tokio's 128 are too few where a thousand answers
        // begin at once: the kernel drops the others and tries again after a second, and connections time out.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(2048).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let counted = engine.clone();
        let listener = listener.tap_io(move |_| _ = counted.connections.fetch_add(1, SeqCst));
        tokio::spawn(async move { axum::serve(listener, app).await });
        (engine, url)
    }

    /// The rest of the recital after a prefix, with the end token.
    fn rest(&self, prefix: usize) -> Vec<u32> {
        let said = prefix.saturating_sub(self.prompt);
        self.recital.iter().copied().skip(said).chain([END]).collect()
    }

    fn text(&self, ids: &[u32]) -> String {
        ids.iter().map(|id| String::from_utf8(self.vocabulary.bytes(*id)).unwrap()).collect()
    }
}

async fn identity(State(engine): State<Arc<FakeEngine>>, uri: Uri) -> Response {
    match engine.identity.lock().get(uri.path()) {
        Some(reply) => Json(reply.clone()).into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({"detail": "Not Found"}))).into_response(),
    }
}

/// SGLang's whole reply: the recital as far as the limit.
async fn generate(State(engine): State<Arc<FakeEngine>>, Json(body): Json<Value>) -> Response {
    engine.completions.fetch_add(1, SeqCst);
    let prefix = body["input_ids"].as_array().map_or(0, Vec::len);
    let limit = body["sampling_params"]["max_new_tokens"].as_u64().and_then(|limit| usize::try_from(limit).ok());
    let ids: Vec<u32> = engine.rest(prefix).into_iter().take(limit.unwrap()).take_while(|id| *id != END).collect();
    let meta = json!({"finish_reason": {"type": "length"}, "prompt_tokens": prefix, "completion_tokens": ids.len()});
    Json(json!({"text": engine.text(&ids), "output_ids": ids, "meta_info": meta})).into_response()
}

async fn complete(State(engine): State<Arc<FakeEngine>>, Json(body): Json<Value>) -> Response {
    let fault = if engine.started.load(SeqCst) > 0 { engine.faults.lock().pop_front() } else { None };
    if let Some(EngineFault::Status(status)) = fault {
        let status = StatusCode::from_u16(status).unwrap();
        return (status, Json(json!({"error": {"message": "told to fail"}}))).into_response();
    }
    engine.completions.fetch_add(1, SeqCst);
    let prefix = body["prompt"].as_array().map_or(0, Vec::len);
    let limit = body["max_tokens"].as_u64().or(body["n_predict"].as_u64()).unwrap();
    let limit = usize::try_from(limit).unwrap();
    let stop: Vec<String> = serde_json::from_value(body["stop"].clone()).unwrap_or_default();
    let mut ids = Vec::new();
    let mut finish = ("length", Value::Null, "limit");
    for id in engine.rest(prefix).into_iter().take(limit) {
        ids.push(id);
        if id == END {
            finish = ("stop", Value::Null, "eos");
            break;
        }
        let text = engine.text(&ids);
        if let Some(found) = stop.iter().find(|stop| text.ends_with(*stop)) {
            finish = ("stop", json!(found), "word");
            break;
        }
    }
    if body.get("n_predict").is_some() {
        return whole_reply(&engine, fault, &ids, finish.2, prefix);
    }
    let choice = |ids: &[u32], ends: bool| {
        json!({"index": 0, "text": engine.text(ids), "token_ids": ids, "logprobs": null,
            "finish_reason": ends.then_some(finish.0), "stop_reason": if ends { finish.1.clone() } else { Value::Null }})
    };
    let usage = json!({"prompt_tokens": prefix, "prompt_tokens_details": {"cached_tokens": prefix / 2}});
    if body["stream"] != json!(true) {
        return Json(json!({"choices": [choice(&ids, true)], "usage": usage})).into_response();
    }
    let last = ids.len() - 1;
    let mut parts: VecDeque<Result<String, std::io::Error>> = ids
        .iter()
        .enumerate()
        .map(|(index, id)| Ok(format!("data: {}\n\n", json!({"choices": [choice(&[*id], index == last)]}))))
        .collect();
    parts.push_back(Ok(format!(": a comment\n\ndata: {}\n\n", json!({"choices": [], "usage": usage}))));
    parts.push_back(Ok("data: [DONE]\n\n".to_owned()));
    let mut hangs = false;
    match fault {
        Some(EngineFault::Break(after)) => {
            parts.truncate(after);
            parts.push_back(Err(std::io::Error::other("told to break")));
        }
        Some(EngineFault::End(after)) => parts.truncate(after),
        Some(EngineFault::ErrorEvent(after)) => {
            parts.truncate(after);
            parts.push_back(Ok("data: {\"error\": {\"message\": \"core died\", \"code\": 500}}\n\n".to_owned()));
        }
        Some(EngineFault::Garbage(after)) => {
            parts.truncate(after);
            parts.push_back(Ok("data: {\"choices\": [\n\n".to_owned()));
        }
        Some(EngineFault::Hang(after)) => {
            parts.truncate(after);
            hangs = true;
        }
        Some(EngineFault::Status(_)) | None => {}
    }
    let (guard, pace) = (OpenGuard::new(engine.open.clone()), *engine.pace.lock());
    let sent = stream::unfold((parts, guard), move |(mut parts, guard)| async move {
        match parts.pop_front() {
            Some(part) => {
                tokio::time::sleep(pace).await;
                Some((part, (parts, guard)))
            }
            None if hangs => std::future::pending().await,
            None => None,
        }
    });
    ([("content-type", "text/event-stream")], Body::from_stream(sent.boxed())).into_response()
}

fn whole_reply(engine: &FakeEngine, fault: Option<EngineFault>, ids: &[u32], stop: &str, prefix: usize) -> Response {
    if fault.is_some() {
        return Body::from_stream(stream::iter([Err::<String, _>(std::io::Error::other("told to break"))]))
            .into_response();
    }
    let reply = json!({"content": engine.text(ids), "tokens": ids, "stop_type": stop, "tokens_evaluated": prefix,
        "timings": {"cache_n": prefix / 2}});
    Json(reply).into_response()
}

struct OpenGuard(Arc<AtomicUsize>);

impl OpenGuard {
    fn new(open: Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, SeqCst);
        Self(open)
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// The kind of engine that is imitated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EngineKind {
    Vllm,
    LlamaServer,
}

/// A model on these engines, with short time-outs.
pub(crate) async fn connect(kind: EngineKind, urls: &[String]) -> RemoteModel {
    let adapter: Box<dyn EngineAdapter> = match kind {
        EngineKind::Vllm => Box::new(VllmAdapter),
        EngineKind::LlamaServer => Box::new(LlamaServerAdapter),
    };
    RemoteModel::connect(settings(Some(adapter), urls)).await.unwrap()
}

/// The settings of a target on these engines; without an adapter they are asked what they are.
pub(crate) fn settings(adapter: Option<Box<dyn EngineAdapter>>, urls: &[String]) -> RemoteSettings {
    RemoteSettings {
        role: "target".to_owned(),
        section: "roles.target".to_owned(),
        adapter,
        model: None,
        vocabulary: tokenizer(),
        renderer: None,
        template: Ok(None),
        context_length: None,
        parameters: None,
        price: None,
        transport: TransportSettings {
            urls: urls.to_vec(),
            connect: Duration::from_secs(2),
            first_event: Duration::from_millis(1500),
            between_events: Duration::from_millis(800),
            reply: Duration::from_secs(2),
            ..TransportSettings::default()
        },
    }
}

/// A greedy run after a prompt of single characters, cut at blank lines.
pub(crate) fn request(model: &RemoteModel, prompt: &str) -> RunRequest {
    let boundary = StepBoundary::Delimiter(vec!["\n\n".to_owned()]);
    let segmentation = Segmentation { boundary, max_tokens: 20 };
    RunRequest::greedy(model.encode_text(prompt).unwrap(), segmentation, 300)
}

/// The steps of a run, and the first error.
pub(crate) async fn steps(run: &mut Box<dyn GeneratorRun>) -> (Vec<Step>, Option<String>) {
    let mut steps = Vec::new();
    loop {
        match run.next().await {
            Some(Ok(step)) => {
                run.accept();
                steps.push(step);
            }
            Some(Err(error)) => return (steps, Some(error.to_string())),
            None => return (steps, None),
        }
    }
}
