//! Renders messages with the chat template of a remote engine.

use rsd_core::pipeline::roles::{ChatMessage, Prompt, RoleError};
use rsd_vocabulary::ControlMask;

use crate::{
    adapters::{ChatEncoding, EngineAdapter},
    completion::CompletionError,
    remote_core::RemoteCore,
    transport::{TransportError, TransportErrorKind},
};

/// Why the engine gave no ids of a conversation.
enum ChatError {
    /// It takes no messages at this path.
    NoMessages(CompletionError),
    Failed(RoleError),
}

/// Token ids of a conversation, by the template of the engine, or of another model where the engine renders none.
pub(crate) async fn encode(core: &RemoteCore, messages: &[ChatMessage]) -> Result<Vec<u32>, RoleError> {
    let engine = format!("the {} model's engine ({})", core.role, core.adapter.name());
    let reason = if core.adapter.chat_encoding(&core.model, &[]).is_none() {
        format!("{engine} does not render chat messages")
    } else {
        match by_engine(core, messages).await {
            Ok(ids) => return Ok(ids),
            Err(ChatError::Failed(error)) => return Err(error),
            Err(ChatError::NoMessages(error)) => {
                format!("{engine} is of a version that does not render chat messages ({error}); newer ones do")
            }
        }
    };
    match &core.renderer {
        Some(other) => other.encode_prompt(&Prompt::Chat(messages.to_vec())).await,
        None => Err(RoleError::Invalid(format!(
            "{reason}, and no model in this process has its tokens; use /v1/completions"
        ))),
    }
}

/// Whether the engine has no such path, or wants a text there: SGLang had `/tokenize` for texts before it took messages.
fn takes_no_messages(error: &CompletionError) -> bool {
    let CompletionError::Transport(TransportError { kind: TransportErrorKind::Status { status, message, .. }, .. }) =
        error
    else {
        return false;
    };
    match status {
        404 | 405 | 422 => true,
        400 => message.contains("prompt") && message.to_lowercase().contains("required"),
        _ => false,
    }
}

/// Control tokens that a message spells stay plain text: they are masked while the engine
/// renders, and the result is tokenized here.
async fn by_engine(core: &RemoteCore, messages: &[ChatMessage]) -> Result<Vec<u32>, ChatError> {
    let texts: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
    let invalid = |error| ChatError::Failed(RoleError::Invalid(error));
    let mask = core.vocabulary.control_mask(&texts).map_err(invalid)?;
    let contents: Vec<String> = messages
        .iter()
        .map(|message| mask.as_ref().map_or_else(|| message.content.clone(), |mask| mask.masked(&message.content)))
        .collect();
    let pairs: Vec<(&str, &str)> =
        messages.iter().zip(&contents).map(|(message, content)| (message.role.as_str(), content.as_str())).collect();
    let rendered = render(core, &pairs).await.map_err(|error| {
        if takes_no_messages(&error) { ChatError::NoMessages(error) } else { ChatError::Failed(core.failed(&error)) }
    })?;
    ids(core, rendered, mask.as_ref()).map_err(invalid)
}

async fn render(core: &RemoteCore, messages: &[(&str, &str)]) -> Result<ChatEncoding, CompletionError> {
    let adapter: &dyn EngineAdapter = &*core.adapter;
    let first = adapter
        .chat_encoding(&core.model, messages)
        .ok_or_else(|| CompletionError::Text("the engine does not render chat messages".to_owned()))?;
    let mut encoding = ChatEncoding::Ask(first);
    while let ChatEncoding::Ask(request) = &encoding {
        let reply = core.client.json(request).await?;
        encoding = adapter.chat_encoding_reply(&reply)?;
    }
    Ok(encoding)
}

/// The template has put all special tokens into the text, so the tokenizer adds none.
fn ids(core: &RemoteCore, rendered: ChatEncoding, mask: Option<&ControlMask<'_>>) -> Result<Vec<u32>, String> {
    let vocabulary = &core.vocabulary;
    match (rendered, mask) {
        (ChatEncoding::Ids(ids), None) => {
            vocabulary.check(&ids)?;
            Ok(ids)
        }
        (ChatEncoding::Ids(ids), Some(mask)) => vocabulary.encode_rendered(&vocabulary.spelled(&ids), mask, false),
        (ChatEncoding::Text(text), None) => vocabulary.encode(&text, false),
        (ChatEncoding::Text(text), Some(mask)) => vocabulary.encode_rendered(&text, mask, false),
        (ChatEncoding::Ask(_), _) => Err("the engine's chat template was not rendered".to_owned()),
    }
}
