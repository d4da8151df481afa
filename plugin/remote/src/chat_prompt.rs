//! Renders messages with the chat template of a remote engine, or with one that is here where the engine renders none.

use std::borrow::Cow;

use rsd_core::pipeline::roles::{ChatMessage, Prompt, RoleError};
use rsd_vocabulary::{ChatTemplate, ControlMask};

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

/// Token ids of a conversation, by the template of the engine. Where it renders none, another model in this process does,
/// or the template beside the tokenizer.
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
    if let Some(other) = &core.renderer {
        return other.encode_prompt(&Prompt::Chat(messages.to_vec())).await;
    }
    let ids = match &core.template {
        Ok(Some(template)) => by_template(core, template, messages),
        Ok(None) => Err(format!(
            "{reason}, no model in this process has its tokens, and there is no chat template beside the tokenizer. Put \
             the model's tokenizer_config.json there, or use /v1/completions"
        )),
        Err(problem) => Err(format!("{reason}, and the chat template beside the tokenizer cannot be used: {problem}")),
    };
    ids.map_err(RoleError::Invalid)
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

/// Messages as they are rendered: control tokens that one spells are masked, so that they stay plain text when the result
/// is tokenized here.
struct MaskedMessages<'a> {
    /// `None` if no message spells a control token.
    mask: Option<ControlMask<'a>>,
    /// Pairs of role and content.
    pairs: Vec<(&'a str, Cow<'a, str>)>,
}

impl<'a> MaskedMessages<'a> {
    fn new(core: &'a RemoteCore, messages: &'a [ChatMessage]) -> Result<Self, String> {
        let texts: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
        let mask = core.vocabulary.control_mask(&texts)?;
        let content = |message: &'a ChatMessage| match &mask {
            Some(mask) => Cow::Owned(mask.masked(&message.content)),
            None => Cow::Borrowed(message.content.as_str()),
        };
        let pairs = messages.iter().map(|message| (message.role.as_str(), content(message))).collect();
        Ok(Self { mask, pairs })
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        self.pairs.iter().map(|(role, content)| (*role, content.as_ref())).collect()
    }
}

fn by_template(core: &RemoteCore, template: &ChatTemplate, messages: &[ChatMessage]) -> Result<Vec<u32>, String> {
    let masked = MaskedMessages::new(core, messages)?;
    let text = template.render(&masked.pairs())?;
    ids(core, ChatEncoding::Text(text), masked.mask.as_ref())
}

async fn by_engine(core: &RemoteCore, messages: &[ChatMessage]) -> Result<Vec<u32>, ChatError> {
    let invalid = |error| ChatError::Failed(RoleError::Invalid(error));
    let masked = MaskedMessages::new(core, messages).map_err(invalid)?;
    let rendered = render(core, &masked.pairs()).await.map_err(|error| {
        if takes_no_messages(&error) { ChatError::NoMessages(error) } else { ChatError::Failed(core.failed(&error)) }
    })?;
    ids(core, rendered, masked.mask.as_ref()).map_err(invalid)
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
