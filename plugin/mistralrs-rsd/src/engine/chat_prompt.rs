//! Renders messages with the model's chat template and tokenizes the result.
//!
//! mistral.rs has a request for this. It is not used: the engine's thread panics if the caller of that request goes away
//! before the answer, and the answer has no text, only tokens. mistral.rs's own renderer is called here instead. It needs
//! the pipeline for a moment, so it waits until the engine is between two forward passes.

use std::sync::Arc;

use either::Either;
use indexmap::IndexMap;
use rsd_core::pipeline::roles::{ChatMessage, RoleError};

use super::EngineCore;

/// Token ids of a conversation. Its future may be dropped at any time.
pub(super) async fn encode(core: &Arc<EngineCore>, messages: &[ChatMessage]) -> Result<Vec<u32>, RoleError> {
    if !core.has_chat_template {
        return Err(RoleError::Invalid(format!(
            "the {} model has no chat template; use /v1/completions, or set `chat_template` for this role",
            core.role
        )));
    }
    let (core, messages) = (core.clone(), messages.to_vec());
    let role = core.role.clone();
    let pipeline = core.pipeline.clone().lock_owned().await;
    // A long conversation takes a while, in which the threads that serve requests must not stand still.
    let rendered = tokio::task::spawn_blocking(move || {
        let texts: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
        let mask = core.vocabulary.control_mask(&texts).map_err(RoleError::Invalid)?;
        let fields = |message: &ChatMessage| {
            let content = mask.as_ref().map_or_else(|| message.content.clone(), |mask| mask.masked(&message.content));
            IndexMap::from([
                ("role".to_owned(), Either::Left(message.role.clone())),
                ("content".to_owned(), Either::Left(content)),
            ])
        };
        let messages = messages.iter().map(fields).collect();
        let (ids, text) = pipeline
            .get_processor()
            .process(&*pipeline, messages, true, true, None, None, Vec::new())
            .map_err(|error| RoleError::Invalid(format!("the chat template rejected the messages: {error}")))?;
        drop(pipeline);
        match mask {
            Some(mask) => core.vocabulary.encode_rendered(&text, &mask, true).map_err(RoleError::Invalid),
            None => Ok(ids),
        }
    });
    rendered.await.unwrap_or_else(|error| {
        Err(RoleError::Failed { role, reason: format!("its chat template could not be rendered: {error}") })
    })
}
