//! Draft and target on real llama.cpp servers, with the demo pair and with tiny models.
//!
//! It needs the Python package that `examples/remote/requirements.txt` names, in `target/tools/llama` or where Python
//! finds it. `RSD_TEST_QUESTIONS` sets the number of questions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod llama_server;
mod many;
mod states;

use std::path::Path;

use llama_server::LlamaServer;
use mistralrs_rsd::{
    deploy::deploy,
    engine::{Engine, EngineSpec},
};
use rsd_config::{RoleConfig, SettingOverride, TargetRule};
use rsd_core::{
    pipeline::{
        AnswerOutcome, Request, Rsd,
        roles::{ChatMessage, Generator, Prompt},
    },
    policy::{AfterRejection, AnswerRoute},
};
use rsd_head::{models, progress::ProgressReporter};
use rsd_vocabulary::{ChatTemplate, Vocabulary};
use serde_json::json;

/// Questions unless `RSD_TEST_QUESTIONS` sets their number.
const QUESTIONS: usize = 2;
/// Tokens of an answer.
const TOKENS: usize = 48;
const SYSTEM: &str = "Please reason step by step, and put your final answer within \\boxed{}.";

fn questions() -> impl Iterator<Item = String> {
    let count = std::env::var("RSD_TEST_QUESTIONS").map_or(QUESTIONS, |count| count.parse().unwrap());
    (0..count).map(|n| {
        let (a, b, c) = (3 + n, 12 + 5 * n, 4 + 2 * n);
        format!("Anna has {a} boxes with {b} pens each and {c} single pens. How many pens has she?")
    })
}

fn request(question: &str) -> Request {
    Request::chat([ChatMessage::system(SYSTEM), ChatMessage::user(question)]).max_tokens(TOKENS)
}

/// An answer in which draft and target take turns. The servers begin with empty caches: what llama.cpp prefills beside a
/// cached prefix differs in its last bits from what it prefills as a whole.
async fn taking_turns(rsd: &Rsd, servers: &[&LlamaServer], question: &str, delta: f64) -> AnswerOutcome {
    for server in servers {
        server.forget().await;
    }
    let mut request = request(question).delta(delta);
    request.overrides.after_rejection = Some(AfterRejection::Draft);
    rsd.complete(request).await.unwrap()
}

async fn alone(rsd: &Rsd, server: &LlamaServer, question: &str, route: AnswerRoute) -> AnswerOutcome {
    server.forget().await;
    rsd.complete(request(question).route(route)).await.unwrap()
}

/// What the engine says when it is asked for the whole answer at once.
async fn own_answer(server: &LlamaServer, model: &dyn Generator, question: &str) -> Vec<u32> {
    let prompt = Prompt::Chat(vec![ChatMessage::system(SYSTEM), ChatMessage::user(question)]);
    let ids = model.encode_prompt(&prompt).await.unwrap();
    let body = json!({
        "prompt": ids, "n_predict": TOKENS, "temperature": 0, "samplers": ["temperature"], "return_tokens": true,
        "cache_prompt": false,
    });
    let reply = server.post("/completion", &body).await;
    let mut tokens: Vec<u32> = serde_json::from_value(reply["tokens"].clone()).unwrap();
    if reply["stop_type"] == "eos" {
        tokens.pop();
    }
    tokens
}

fn decoded(model: &dyn Generator, tokens: &[u32]) -> String {
    let bytes: Vec<u8> = tokens.iter().flat_map(|token| model.token_bytes(*token)).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Steps of the trace come from both models, and their tokens spell the text.
fn assert_whole(rsd: &Rsd, answer: &AnswerOutcome) {
    assert!(answer.trace.shared_vocabulary);
    assert_eq!(decoded(&*rsd.target, &answer.tokens), answer.text);
    let tokens: usize = answer.trace.steps.iter().map(|step| step.tokens).sum();
    assert_eq!(tokens, answer.tokens.len());
}

/// A role on a server, with time for a busy machine.
fn remote(role: &str, server: &LlamaServer) -> Vec<SettingOverride> {
    let setting = |name: &str, value: serde_json::Value| {
        SettingOverride::value(&format!("roles.{role}.remote.{name}"), value, "the test")
    };
    vec![setting("urls", json!([server.url])), setting("timeouts.reply_ms", json!(3_600_000))]
}

fn demo_model(name: &str) -> std::path::PathBuf {
    models::ensure(name, &ProgressReporter::on_stderr()).unwrap()
}

async fn deployed(file: &str, settings: Vec<SettingOverride>) -> Rsd {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config").join(file);
    let loaded = rsd_config::load(Some(&file), std::iter::empty(), &settings, TargetRule::Required).unwrap();
    Box::pin(deploy(&loaded.deployment, None)).await.unwrap().rsd
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_here_and_a_target_on_llama_server_answer_as_each_does_alone() {
    let server = LlamaServer::start(&demo_model("target")).await;
    let rsd = deployed("remote-target.yaml", remote("target", &server)).await;
    for question in questions() {
        let target = taking_turns(&rsd, &[&server], &question, 2.0).await;
        assert_eq!(target.tokens, own_answer(&server, &*rsd.target, &question).await, "{question}");
        assert_eq!(target.tokens, alone(&rsd, &server, &question, AnswerRoute::Target).await.tokens, "{question}");
        let draft = taking_turns(&rsd, &[&server], &question, 0.0).await;
        assert_eq!(draft.tokens, alone(&rsd, &server, &question, AnswerRoute::Draft).await.tokens, "{question}");
        for answer in [target, draft, taking_turns(&rsd, &[&server], &question, 0.5).await] {
            assert_whole(&rsd, &answer);
        }
    }
    let traffic = rsd.target.traffic().unwrap();
    assert!(traffic.requests > 0 && traffic.retries == 0 && traffic.in_flight == 0, "{traffic:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_models_on_llama_server_answer_as_each_does_alone() {
    let (draft_file, target_file) = (demo_model("draft"), demo_model("target"));
    let (draft_server, target_server) = (LlamaServer::start(&draft_file).await, LlamaServer::start(&target_file).await);
    let tokenizer = tempfile::NamedTempFile::new().unwrap();
    let chat = Prompt::Chat(vec![ChatMessage::system(SYSTEM), ChatMessage::user("What is 2 + 2?")]);
    let prompt = {
        let role = RoleConfig { cpu: true, ..RoleConfig::default() }.with_gguf(&draft_file);
        let engine = Box::pin(Engine::load("draft", EngineSpec::from_role(&role).unwrap())).await.unwrap();
        engine.tokenizer().save(tokenizer.path(), false).unwrap();
        engine.encode_prompt(&chat).await.unwrap()
    };
    let tokenizer_path = tokenizer.path().to_string_lossy().into_owned();
    let mut settings = [remote("draft", &draft_server), remote("target", &target_server)].concat();
    settings.extend(
        ["draft", "target"]
            .map(|role| SettingOverride::value(&format!("roles.{role}.tokenizer"), json!(tokenizer_path), "the test")),
    );
    let rsd = deployed("remote-llama-server.yaml", settings).await;
    // Both engines and the template that the file contains make the same prompt.
    let config = rsd_head::gguf::tokenizer_config(&draft_file).unwrap().unwrap();
    let template = ChatTemplate::new(config["chat_template"].as_str().unwrap().to_owned(), &config).unwrap();
    let rendered = template.render(&[("system", SYSTEM), ("user", "What is 2 + 2?")]).unwrap();
    assert_eq!(Vocabulary::from_file(tokenizer.path()).unwrap().encode(&rendered, false).unwrap(), prompt);
    assert_eq!(rsd.draft.encode_prompt(&chat).await.unwrap(), prompt);
    let servers = [&draft_server, &target_server];
    for question in questions() {
        let target = taking_turns(&rsd, &servers, &question, 2.0).await;
        assert_eq!(target.tokens, own_answer(&target_server, &*rsd.target, &question).await, "{question}");
        let draft = taking_turns(&rsd, &servers, &question, 0.0).await;
        assert_eq!(draft.tokens, own_answer(&draft_server, &*rsd.draft, &question).await, "{question}");
        for answer in [target, draft] {
            assert_whole(&rsd, &answer);
        }
    }
}
