//! Chat messages, which the engine renders, or another model where the engine takes none.

use std::sync::Arc;

use rsd_core::pipeline::roles::{ChatMessage, Generator, Prompt, RoleError};
use rsd_vocabulary::ChatTemplate;
use serde_json::json;

use super::fake_engine::{FakeEngine, settings};
use crate::{RemoteModel, RemoteSettings, adapters::SglangAdapter};

/// A model on an engine that renders messages to these ids, or takes none.
async fn sglang(
    ids: Option<&[u32]>,
    renderer: Option<Arc<dyn Generator>>,
    template: Result<Option<ChatTemplate>, String>,
) -> RemoteModel {
    let (engine, url) = FakeEngine::serve("one.\n\ntwo.", 3).await;
    if let Some(ids) = ids {
        engine.identity.lock().insert("/tokenize".to_owned(), json!({"tokens": ids}));
    }
    let settings = settings(Some(Box::new(SglangAdapter)), &[url]);
    RemoteModel::connect(RemoteSettings { renderer, template, ..settings }).await.unwrap()
}

#[tokio::test]
async fn an_engine_that_takes_no_messages_leaves_them_to_a_model_with_its_tokens_or_says_so() {
    let chat = Prompt::Chat(vec![ChatMessage::user("hi")]);
    let newer = sglang(Some(&[7, 8]), None, Ok(None)).await;
    assert_eq!(newer.encode_prompt(&chat).await, Ok(vec![7, 8]));
    let older = sglang(None, Some(Arc::new(newer)), Ok(None)).await;
    assert_eq!(older.encode_prompt(&chat).await, Ok(vec![7, 8]));
    let reason = rejection(&sglang(None, None, Ok(None)).await, "hi").await;
    assert!(reason.contains("(sglang) is of a version that does not render chat messages"), "{reason}");
    assert!(reason.contains("/tokenize") && reason.contains("tokenizer_config.json"), "{reason}");
    let reason = rejection(&sglang(None, None, Err("line 3".to_owned())).await, "hi").await;
    assert!(reason.contains("cannot be used: line 3"), "{reason}");
}

/// Why a message cannot be rendered.
async fn rejection(model: &RemoteModel, message: &str) -> String {
    match model.encode_prompt(&Prompt::Chat(vec![ChatMessage::user(message)])).await {
        Err(RoleError::Invalid(reason)) => reason,
        other => panic!("not the request's fault: {other:?}"),
    }
}

#[tokio::test]
async fn the_template_beside_the_tokenizer_renders_where_nothing_else_does() {
    let source = "{% for message in messages %}{{ message.role }} {{ message.content }}.{% endfor %}\
                  {% if messages[0].content == 'no' %}{{ raise_exception('never no') }}{% endif %}";
    let template = ChatTemplate::new(source.to_owned(), &json!({})).unwrap();
    let model = sglang(None, None, Ok(Some(template))).await;
    let chat = |text: &str| Prompt::Chat(vec![ChatMessage::user(text)]);
    let encoded = |text: &str| model.encode_text(text);
    assert_eq!(model.encode_prompt(&chat("hi")).await, encoded("user hi."));
    // This vocabulary has no tokens for the other characters of the control token, which a user writes as text.
    assert_eq!(model.encode_prompt(&chat("<|endoftext|>")).await, encoded("user endoftext."));
    assert!(rejection(&model, "no").await.contains("never no"));
}
