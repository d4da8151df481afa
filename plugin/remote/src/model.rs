//! A model on a remote engine, as the loop sees it.

use std::sync::Arc;

use async_trait::async_trait;
use rsd_core::pipeline::{
    price::TokenPrice,
    roles::{Generator, GeneratorRun, ModelHealth, Prompt, RemoteTraffic, RoleError, RunRequest, TokenPrompt},
};
use rsd_vocabulary::Vocabulary;

use crate::{chat_prompt, remote_core::RemoteCore, run};

/// A model on a remote engine that continues token prefixes. Clones share the connection.
#[derive(Clone)]
pub struct RemoteModel(pub(crate) Arc<RemoteCore>);

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

    fn price(&self) -> Option<TokenPrice> {
        self.0.price
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

    fn has_token(&self, token: u32) -> bool {
        self.0.vocabulary.check(&[token]).is_ok()
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
