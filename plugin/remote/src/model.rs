//! A model on a remote engine, as the loop sees it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use rsd_core::pipeline::roles::{
    Generator, GeneratorRun, ModelHealth, Prompt, RemoteTraffic, RoleError, RunRequest, TokenPrompt,
};
use rsd_vocabulary::Vocabulary;

use crate::{
    adapters::EngineAdapter, chat_prompt, completion::CompletionError, run, sent_prefixes::SentPrefixes,
    transport::EngineClient,
};

/// A model on a remote engine that continues token prefixes. Clones share the connection.
#[derive(Clone)]
pub struct RemoteModel(pub(crate) Arc<RemoteCore>);

pub(crate) struct RemoteCore {
    pub role: String,
    /// The name of the model, as the engine knows it.
    pub model: String,
    pub adapter: Box<dyn EngineAdapter>,
    pub client: EngineClient,
    pub vocabulary: Arc<Vocabulary>,
    /// Renders chat messages where the engine does not.
    pub renderer: Option<Arc<dyn Generator>>,
    /// Tokens of prompt and answer together.
    pub context: usize,
    pub parameters: Option<u64>,
    /// For engines that do not say what their cache held.
    pub sent: Mutex<SentPrefixes>,
}

impl RemoteCore {
    pub fn failed(&self, error: &CompletionError) -> RoleError {
        let reason = format!("{}: {error}", self.client.address());
        RoleError::Failed { role: self.role.clone(), reason }
    }

    /// The same for all runs of an answer: a digest of its prompt.
    pub fn session(&self, request: &RunRequest) -> u64 {
        let mut hasher = DefaultHasher::new();
        request.prefix[..request.prefix.len().saturating_sub(request.position)].hash(&mut hasher);
        hasher.finish()
    }
}

impl RemoteModel {
    /// The tokens of the model.
    #[must_use]
    pub fn tokens(&self) -> Arc<Vocabulary> {
        self.0.vocabulary.clone()
    }
}

#[async_trait]
impl Generator for RemoteModel {
    fn role(&self) -> &str {
        &self.0.role
    }

    fn name(&self) -> String {
        self.0.model.clone()
    }

    fn vocabulary(&self) -> Arc<str> {
        self.0.vocabulary.fingerprint()
    }

    fn context_length(&self) -> usize {
        self.0.context
    }

    fn parameters(&self) -> Option<u64> {
        self.0.parameters
    }

    async fn encode_prompt(&self, prompt: &Prompt) -> Result<Vec<u32>, RoleError> {
        let vocabulary = &self.0.vocabulary;
        match prompt {
            Prompt::Chat(messages) => chat_prompt::encode(&self.0, messages).await,
            Prompt::Tokens(prompt) if prompt.vocabulary == vocabulary.fingerprint() => {
                vocabulary.check(&prompt.ids).map_err(RoleError::Invalid)?;
                Ok(prompt.ids.clone())
            }
            // Who continues a text writes the template himself, control tokens included.
            Prompt::Text(text) | Prompt::Tokens(TokenPrompt { text, .. }) => {
                vocabulary.encode(text, true).map_err(RoleError::Invalid)
            }
        }
    }

    fn encode_text(&self, text: &str) -> Result<Vec<u32>, RoleError> {
        self.0.vocabulary.encode_plain(text).map_err(RoleError::Invalid)
    }

    fn token_bytes(&self, token: u32) -> Vec<u8> {
        self.0.vocabulary.bytes(token)
    }

    fn health(&self) -> ModelHealth {
        self.0.client.health()
    }

    fn traffic(&self) -> Option<RemoteTraffic> {
        Some(self.0.client.traffic())
    }

    /// The engine manages its cache. Only what is assumed of it is forgotten.
    async fn clear_cache(&self) -> Result<(), RoleError> {
        self.0.sent.lock().clear();
        Ok(())
    }

    async fn start(&self, request: RunRequest) -> Result<Box<dyn GeneratorRun>, RoleError> {
        run::start(&self.0, request)
    }
}
