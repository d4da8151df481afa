//! Engines that are asked what they are.

use rsd_core::pipeline::roles::Generator as _;
use serde_json::Value;

use super::fake_engine::{FakeEngine, request, settings, steps};
use crate::{ConnectError, RemoteModel, RemoteSettings};

const RECITAL: &str = "first step.\n\nend";

/// The recorded replies of a server, by path.
fn recorded(server: &str) -> serde_json::Map<String, Value> {
    let servers: Value = serde_json::from_str(include_str!("../../fixtures/identity.json")).unwrap();
    servers[server].as_object().unwrap().clone()
}

#[tokio::test]
async fn every_kind_of_engine_is_found_and_then_used_as_what_it_is() {
    for (server, kind) in
        [("vllm", "vllm"), ("sglang", "sglang"), ("llama_server", "llama_server"), ("tensorrt_llm", "openai")]
    {
        let (engine, url) = FakeEngine::serve(RECITAL, 3).await;
        *engine.identity.lock() = recorded(server);
        let model = RemoteModel::connect(RemoteSettings { context_length: Some(400), ..settings(None, &[url]) });
        let model = model.await.unwrap();
        assert_eq!(model.0.adapter.name(), kind);
        let errors: u64 = model.traffic().unwrap().errors.iter().map(|(_, count)| count).sum();
        assert_eq!(errors, 0, "paths that {server} does not have are no errors of the role");
        if kind == "vllm" || kind == "llama_server" {
            let (steps, error) = steps(&mut model.start(request(&model, "abc")).await.unwrap()).await;
            assert_eq!(error, None);
            assert_eq!(steps.into_iter().flat_map(|step| step.tokens).collect::<Vec<_>>(), engine.recital);
        }
    }
}

#[tokio::test]
async fn a_server_that_is_no_engine_is_refused_with_what_it_was_asked_and_what_came_back() {
    let (engine, url) = FakeEngine::serve(RECITAL, 3).await;
    engine.identity.lock().clear();
    engine.identity.lock().insert("/version".to_owned(), serde_json::json!({"version": "17.4"}));
    let error = RemoteModel::connect(settings(None, std::slice::from_ref(&url))).await.err().unwrap();
    assert!(matches!(error, ConnectError::Unknown { .. }));
    let text = error.to_string();
    let begins = format!("roles.target.remote.engine: {url}: `auto` found no engine that it knows; /v1/models: ");
    assert!(text.starts_with(&begins) && text.contains(r#"/version: {"version":"17.4"}"#), "{text}");
    assert!(text.contains("/props: status 404: Not Found"), "{text}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_of_the_connection() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = RemoteModel::connect(settings(None, &[url])).await.err().unwrap();
    assert!(matches!(error, ConnectError::Transport { .. }), "{error}");
}
