//! Reading a model at the end of a prompt, which is how reward models score. Nothing is decoded.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use async_trait::async_trait;

use super::roles::{CacheUse, ChatMessage, ModelHealth, RemoteTraffic, RoleError, StepScore};

/// A question that every reward model can score the answer to, for the check at the start.
pub const KNOWN_QUESTION: &str = "What is 2 + 3?";
/// Its answer. A remote engine shows with two steps which tokens it pools.
pub const KNOWN_STEPS: [&str; 2] = ["2 + 3 = 5.", "The answer is 5."];

/// What was read at the end of a prompt, and what it cost.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PromptReading {
    /// The numbers that the reader is for: the outputs of a reward head, or the logits of some tokens, which may all be
    /// shifted by the same amount.
    pub values: Vec<f32>,
    /// Tokens in the prompt.
    pub prompt: usize,
    /// Prompt tokens that no cache held and that were prefilled.
    pub prefilled: usize,
    /// Seconds that it took.
    pub seconds: f64,
}

impl PromptReading {
    /// The score of a step with this reward, which cost what the reading did.
    #[must_use]
    pub fn score(&self, reward: f64) -> StepScore {
        let Self { prompt, prefilled, seconds, .. } = *self;
        StepScore { reward, prompt, prefilled, seconds, ..StepScore::default() }
    }
}

/// A model that is read at the end of prompts. It knows which numbers it reads.
#[async_trait]
pub trait PromptReader: Send + Sync {
    /// The name of the model.
    fn model(&self) -> String;
    /// Number of parameters without embeddings, for FLOP estimates; `None` if unknown.
    fn parameters(&self) -> Option<u64>;
    /// Limit on the tokens of a prompt, which must be fewer.
    fn context_length(&self) -> usize;
    /// The content of its prefix cache, if no other role reports it.
    fn cache(&self) -> CacheUse {
        CacheUse::default()
    }
    /// Whether its engine runs.
    fn health(&self) -> ModelHealth {
        ModelHealth::default()
    }
    /// The requests to its engine, if that is a remote one.
    fn traffic(&self) -> Option<RemoteTraffic> {
        None
    }
    /// Clears its prefix cache.
    async fn clear_cache(&self) -> Result<(), RoleError> {
        Ok(())
    }
    /// Token ids of messages by its chat template. A control token that a message spells is plain text.
    ///
    /// # Errors
    /// There is no chat template, or it rejects the messages.
    async fn encode_chat(&self, messages: &[ChatMessage]) -> Result<Vec<u32>, RoleError>;
    /// Reads the model at the last token of a prompt. `answer` is the same for all prompts about one answer
    /// ([`answer_key`]), so that a router of several engines can send them to the same one.
    ///
    /// # Errors
    /// The prompt does not fit the context, or the engine failed.
    async fn read(&self, prompt: Vec<u32>, answer: u64) -> Result<PromptReading, RoleError>;
}

/// A key for the prompts about the answers to one question.
#[must_use]
pub fn answer_key(question: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    question.hash(&mut hasher);
    hasher.finish()
}
