//! Connects to an engine and checks before the first request that it is what the deployment says.

use std::sync::Arc;

use parking_lot::Mutex;
use rsd_core::pipeline::{
    price::TokenPrice,
    roles::{Generator, RunRequest},
    segment::{Segmentation, StepBoundary},
};
use rsd_vocabulary::{ChatTemplate, Vocabulary};

use crate::{
    RemoteModel,
    adapters::{EngineAdapter, IdentityReply, ReplyError, UnknownEngine, identify, identifying_requests},
    completion::{Completion, CompletionError, CompletionPart, CompletionPlan},
    remote_core::RemoteCore,
    sent_prefixes::SentPrefixes,
    transport::{EngineClient, TransportError, TransportSettings},
};

/// What the engine is asked to continue at the start. Its digits, spaces and accents tell vocabularies apart.
const PROBE: &str = "The first numbers are 1, 2, 3, 4 and naïve café costs 5";

/// Tokens that the probe decodes.
const PROBE_TOKENS: usize = 8;

/// A model on a remote engine, and how it is reached.
pub struct RemoteSettings {
    /// `draft`, `reward` or `target`, for messages.
    pub role: String,
    /// The section of the deployment file that describes the model, such as `roles.target`.
    pub section: String,
    /// The kind of engine; `None` asks the server.
    pub adapter: Option<Box<dyn EngineAdapter>>,
    /// The name of the model; `None` takes the only one that the engine serves.
    pub model: Option<String>,
    /// The tokens of the model.
    pub vocabulary: Arc<Vocabulary>,
    /// A model of the same family that renders chat messages, for engines that do not.
    pub renderer: Option<Arc<dyn Generator>>,
    /// The chat template beside the tokenizer, or why it cannot be used. It is for engines that render no messages where
    /// there is no other model to do it.
    pub template: Result<Option<ChatTemplate>, String>,
    /// Limit on the context in tokens; `None` takes the engine's.
    pub context_length: Option<usize>,
    /// Parameters without embeddings, for FLOP estimates.
    pub parameters: Option<u64>,
    /// What its tokens cost, if a provider bills them.
    pub price: Option<TokenPrice>,
    /// Addresses, keys, time-outs and limits.
    pub transport: TransportSettings,
}

/// Why a model on a remote engine cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The engine was not reached, or gave an error.
    #[error("{section}.remote: {source}")]
    Transport {
        /// The section of the deployment file.
        section: String,
        /// What happened.
        source: TransportError,
    },
    /// The engine's reply is not one of this kind of engine.
    #[error("{section}.remote.engine: {source}. Is the server really {engine}?")]
    Reply {
        /// The section of the deployment file.
        section: String,
        /// The kind of engine.
        engine: &'static str,
        /// What is wrong.
        source: ReplyError,
    },
    /// No kind of engine fits what the server says of itself.
    #[error("{section}.remote.engine: {url}: {source}")]
    Unknown {
        /// The section of the deployment file.
        section: String,
        /// The first address.
        url: String,
        /// The replies.
        source: UnknownEngine,
    },
    /// The engine does not serve the model.
    #[error("{section}.remote.model: {found}; the engine serves {served}")]
    Model {
        /// The section of the deployment file.
        section: String,
        /// What is wrong with the name.
        found: String,
        /// The names that are served.
        served: String,
    },
    /// Nobody knows how long the context is.
    #[error("{section}.context_length: the engine does not say how long its context is; set it here")]
    Context {
        /// The section of the deployment file.
        section: String,
    },
    /// The tokens of the engine's model are not those of the tokenizer.
    #[error(
        "{section}.tokenizer: the engine's text {text:?} is not what its token ids spell here ({spelled:?}). The \
         tokenizer is not that of the model"
    )]
    Tokenizer {
        /// The section of the deployment file.
        section: String,
        /// The engine's text.
        text: String,
        /// The text by the tokenizer.
        spelled: String,
    },
    /// The check failed in another way.
    #[error("{section}.remote: {reason}")]
    Probe {
        /// The section of the deployment file.
        section: String,
        /// What happened.
        reason: String,
    },
}

impl RemoteModel {
    /// Connects to an engine, and checks its model, its context, and that its token ids are those of the vocabulary.
    ///
    /// # Errors
    /// The engine is not reached or is not what the settings say.
    pub async fn connect(settings: RemoteSettings) -> Result<Self, ConnectError> {
        let section = settings.section.clone();
        let core = reach(settings).await?;
        probe(&section, &core).await?;
        Ok(Self(Arc::new(core)))
    }
}

/// Reaches an engine, and finds its kind, its model and its context.
pub(crate) async fn reach(settings: RemoteSettings) -> Result<RemoteCore, ConnectError> {
    let RemoteSettings {
        role,
        section,
        adapter,
        model,
        vocabulary,
        renderer,
        template,
        context_length,
        parameters,
        price,
        transport,
    } = settings;
    let renderer = renderer.filter(|other| other.vocabulary() == vocabulary.fingerprint());
    let adapter = match adapter {
        Some(adapter) => adapter,
        None => identified(&role, &section, &transport).await?,
    };
    let transport_error = |source| ConnectError::Transport { section: section.clone(), source };
    let client = EngineClient::new(transport).map_err(transport_error)?;
    let reply = client.json(&adapter.model_info()).await.map_err(transport_error)?;
    let served = adapter.model_info_reply(&reply).map_err(|source| ConnectError::Reply {
        section: section.clone(),
        engine: adapter.name(),
        source,
    })?;
    let (model, context) = chosen(&section, model, &served)?;
    let context = match (context_length, context) {
        (Some(limit), Some(context)) => limit.min(context),
        (Some(context), None) | (None, Some(context)) => context,
        (None, None) => return Err(ConnectError::Context { section }),
    };
    let sent = Mutex::new(SentPrefixes::default());
    Ok(RemoteCore { role, model, adapter, client, vocabulary, renderer, template, context, parameters, price, sent })
}

/// Asks a server what it is. The requests have a client of their own, so that paths that a server does not have are
/// no errors in the figures of the role.
async fn identified(
    role: &str,
    section: &str,
    transport: &TransportSettings,
) -> Result<Box<dyn EngineAdapter>, ConnectError> {
    let transport_error = |source| ConnectError::Transport { section: section.to_owned(), source };
    let client = EngineClient::new(transport.clone()).map_err(transport_error)?;
    let mut replies = Vec::new();
    for request in identifying_requests() {
        let reply = match client.json(&request).await {
            Ok(reply) => Ok(reply),
            Err(TransportError { kind, .. }) if kind.is_reply() => Err(kind.to_string()),
            Err(error) => return Err(transport_error(error)),
        };
        replies.push(IdentityReply { path: request.path, reply });
    }
    let found = identify(replies).map_err(|source| ConnectError::Unknown {
        section: section.to_owned(),
        url: client.address().to_owned(),
        source,
    })?;
    let (engine, version) = (found.adapter.name(), found.version.unwrap_or_default());
    tracing::info!(role, engine, version, evidence = found.evidence, "the server says which engine it is");
    Ok(found.adapter)
}

/// The model to use and its context.
fn chosen(
    section: &str,
    wanted: Option<String>,
    served: &[(String, Option<usize>)],
) -> Result<(String, Option<usize>), ConnectError> {
    let names = || served.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let wrong = |found: String| ConnectError::Model { section: section.to_owned(), found, served: names() };
    match (wanted, served) {
        (None, [(name, context)]) => Ok((name.clone(), *context)),
        (None, _) => Err(wrong("name one".to_owned())),
        (Some(wanted), _) => {
            let found = served.iter().find(|(name, _)| *name == wanted);
            found.cloned().ok_or_else(|| wrong(format!("`{wanted}` is not there")))
        }
    }
}

/// Lets the engine continue a text, and compares the text of the reply with what its token ids spell.
async fn probe(section: &str, core: &RemoteCore) -> Result<(), ConnectError> {
    if !core.adapter.abilities().token_ids {
        return Ok(());
    }
    let wrong = |reason: String| ConnectError::Probe { section: section.to_owned(), reason };
    let failed = |error: CompletionError| wrong(error.to_string());
    let prefix = core.vocabulary.encode(PROBE, true).map_err(|error| failed(CompletionError::Text(error)))?;
    let segmentation = Segmentation { boundary: StepBoundary::Tokens(PROBE_TOKENS), max_tokens: PROBE_TOKENS };
    let request = RunRequest::greedy(prefix.clone(), segmentation, PROBE_TOKENS);
    let plan = CompletionPlan { stream: false, max_tokens: PROBE_TOKENS, stop: Vec::new() };
    let mut completion = Completion::start(core, &prefix, &request, &plan, 1, 0).await.map_err(failed)?;
    let mut bytes = Vec::new();
    let mut count = 0;
    while let CompletionPart::Token(token) = completion.next().await.map_err(failed)? {
        bytes.extend(core.vocabulary.bytes(token.id));
        count += 1;
    }
    if count == 0 && !completion.text.is_empty() {
        return Err(wrong("the engine returned no token ids for the prompt that it was tried with".to_owned()));
    }
    let spelled = String::from_utf8_lossy(&bytes).into_owned();
    // The engine holds back an unfinished character at the end.
    if completion.text.trim_end_matches('\u{FFFD}') != spelled.trim_end_matches('\u{FFFD}') {
        let (section, text) = (section.to_owned(), completion.text.clone());
        return Err(ConnectError::Tokenizer { section, text, spelled });
    }
    Ok(())
}
