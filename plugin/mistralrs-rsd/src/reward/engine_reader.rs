//! An engine of this process as a model that is read at the end of prompts, in one forward pass.
//!
//! Either its hidden state is read and a head is applied to it here in f32, or the logits of some tokens are read.

use async_trait::async_trait;
use rsd_core::pipeline::{
    prompt_reader::{PromptReader, PromptReading},
    roles::{CacheUse, ChatMessage, Generator, ModelHealth, RoleError},
};
use rsd_head::layer::{DenseLayer, apply_layers};

use crate::engine::Engine;

/// An engine, and what is read there.
pub struct EngineReader {
    engine: Engine,
    selection: ReaderSelection,
}

enum ReaderSelection {
    Tokens(Vec<u32>),
    Head(Vec<DenseLayer>),
}

impl EngineReader {
    /// Reads the logits of these tokens. The engine may be the target's.
    #[must_use]
    pub fn of_tokens(engine: Engine, tokens: Vec<u32>) -> Self {
        Self { engine, selection: ReaderSelection::Tokens(tokens) }
    }

    /// Reads the outputs of a head, for which the model must expose its hidden states.
    ///
    /// # Errors
    /// There is no head, or the hidden states do not fit it.
    pub fn of_head(engine: Engine, head: Vec<DenseLayer>) -> Result<Self, RoleError> {
        let exposed = engine.states().width();
        match head.first().map(|layer| layer.inputs) {
            Some(width) if width == exposed => Ok(Self { engine, selection: ReaderSelection::Head(head) }),
            Some(width) => Err(RoleError::Invalid(format!(
                "reward: the head reads hidden states of {width} numbers, but {} exposes {exposed}; prepare the model again with `mistralrs-rsd prm prepare`",
                engine.model()
            ))),
            None => Err(RoleError::Invalid(format!(
                "reward: {} needs a head; name its file in reward.head",
                engine.model()
            ))),
        }
    }
}

#[async_trait]
impl PromptReader for EngineReader {
    fn model(&self) -> String {
        self.engine.model().to_owned()
    }

    fn parameters(&self) -> Option<u64> {
        self.engine.parameters()
    }

    fn context_length(&self) -> usize {
        self.engine.context_length()
    }

    fn cache(&self) -> CacheUse {
        // The cache of the target is reported by the target, even if the target is the judge.
        if self.engine.role() == "target" { CacheUse::default() } else { self.engine.cache() }
    }

    fn health(&self) -> ModelHealth {
        self.engine.health()
    }

    async fn clear_cache(&self) -> Result<(), RoleError> {
        self.engine.clear_cache().await
    }

    async fn encode_chat(&self, messages: &[ChatMessage]) -> Result<Vec<u32>, RoleError> {
        self.engine.encode_chat(messages).await
    }

    async fn read(&self, prompt: Vec<u32>, _answer: u64) -> Result<PromptReading, RoleError> {
        let reading = match &self.selection {
            ReaderSelection::Tokens(tokens) => self.engine.read_logits(prompt, tokens.clone()).await?,
            ReaderSelection::Head(_) => self.engine.read_state(prompt).await?,
        };
        let values = match &self.selection {
            ReaderSelection::Tokens(_) => reading.logits,
            ReaderSelection::Head(head) => apply_layers(head, &reading.logits),
        };
        Ok(PromptReading { values, prompt: reading.prompt, prefilled: reading.prefilled, seconds: reading.seconds })
    }
}
