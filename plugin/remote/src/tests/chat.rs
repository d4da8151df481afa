//! Chat messages, which the engine renders, or another model where the engine takes none.

use std::sync::Arc;

use rsd_core::pipeline::roles::{ChatMessage, Generator, Prompt, RoleError};
use serde_json::json;

use super::fake_engine::{FakeEngine, settings};
use crate::{RemoteModel, RemoteSettings, adapters::SglangAdapter};

/// A model on an engine that renders messages to these ids, or takes none.
async fn sglang(ids: Option<&[u32]>, renderer: Option<Arc<dyn Generator>>) -> RemoteModel {
    let (engine, url) = FakeEngine::serve("one.\n\ntwo.", 3).await;
    if let Some(ids) = ids {
        engine.identity.lock().insert("/tokenize".to_owned(), json!({"tokens": ids}));
    }
    let settings = settings(Some(Box::new(SglangAdapter)), &[url]);
    RemoteModel::connect(RemoteSettings { renderer, ..settings }).await.unwrap()
}

#[tokio::test]
async fn an_engine_that_takes_no_messages_leaves_them_to_a_model_with_its_tokens_or_says_so() {
    let chat = Prompt::Chat(vec![ChatMessage::user("hi")]);
    let newer = sglang(Some(&[7, 8]), None).await;
    assert_eq!(newer.encode_prompt(&chat).await, Ok(vec![7, 8]));
    let older = sglang(None, Some(Arc::new(newer))).await;
    assert_eq!(older.encode_prompt(&chat).await, Ok(vec![7, 8]));
    let RoleError::Invalid(reason) = sglang(None, None).await.encode_prompt(&chat).await.unwrap_err() else {
        panic!("not the request's fault")
    };
    assert!(reason.contains("(sglang) is of a version that does not render chat messages"), "{reason}");
    assert!(reason.contains("/tokenize") && reason.contains("use /v1/completions"), "{reason}");
}
