//! One model in mistral.rs: loaded, driven token by token through its public API, and kept from its traps.
//!
//! The only code that names mistral.rs types, besides the server's fallback routes. What mistral.rs 0.8.1 does
//! that must be worked around is written where it is worked around, and each trap has a test of its own
//! (`tests/tests/traps`), so that an upgrade shows which of them is gone.
//!
//! An engine serves one request at a time (its *lease*): on a CPU mistral.rs is not safe with more, and only so
//! may the step sampler wait for a verdict on the engine's thread. Requests overlap by being in different roles.

mod cache;
mod gate;
mod hook;
mod load;
mod parameters;
mod reader;
mod replay;
mod request;
mod run;
mod spec;
mod states;
mod stock;
mod threads;
mod vocabulary;
mod writer;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use either::Either;
use indexmap::IndexMap;
use mistralrs_core::{MistralRs, Request, TokenizationRequest};
use parking_lot::Mutex;
use tokenizers::Tokenizer;
use tokio::sync::{Semaphore, mpsc};

pub use load::LoadError;
pub use mistralrs_core::ModelSelected;
pub use spec::{EngineSpec, SpecError};
pub use states::States;
pub use stock::Stock;

use crate::pipeline::roles::{CacheUse, Generator, Message, Prompt, RoleError, Run, RunRequest, Step, Turn};
use cache::{CacheGauge, CacheMirror};
use reader::Wanted;
use vocabulary::Vocabulary;

/// A loaded model that continues prefixes.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    role: String,
    model: String,
    mistral: Arc<MistralRs>,
    vocabulary: Arc<Vocabulary>,
    context: usize,
    parameters: Option<u64>,
    /// One permit: whoever holds it may talk to the engine.
    lease: Arc<Semaphore>,
    /// One permit: whoever holds it works on an answer; see [`Generator::turn`].
    turn: Arc<Semaphore>,
    /// Whether an answer has begun and the cache was not brought back to its budget since.
    begins: AtomicBool,
    cache: Mutex<CacheMirror>,
    cache_gauge: Arc<CacheGauge>,
    device: DeviceKind,
    has_chat_template: bool,
    /// Which logits are the hidden state.
    states: States,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeviceKind {
    /// Sequence-level prefix cache, never evicted: mirrored and emptied from outside.
    Cpu,
    /// mistral.rs evicts by itself; `block` is PagedAttention's block size where it is on.
    Gpu { block: usize },
}

/// Logits read at the end of a prompt, and what reading them cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// One per wanted token, or the state.
    pub logits: Vec<f32>,
    /// Tokens in the prompt.
    pub prompt: usize,
    /// Of them, the ones that had to be computed.
    pub prefilled: usize,
    /// Seconds the engine was held.
    pub seconds: f64,
}

impl Engine {
    /// Name of the model as loaded.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.0.model
    }

    /// The mistral.rs instance behind this engine, for mistral.rs's own read-only server routes.
    #[must_use]
    pub fn mistral(&self) -> Arc<MistralRs> {
        self.0.mistral.clone()
    }

    /// Estimated bytes of prefix cache held on a CPU.
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        self.0.cache_gauge.bytes()
    }

    /// The model's tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> Arc<Tokenizer> {
        self.0.vocabulary.tokenizer()
    }

    /// The single token that spells `text`, where there is one.
    #[must_use]
    pub fn single_token(&self, text: &str) -> Option<u32> {
        match self.0.vocabulary.encode(text, false).ok()?.as_slice() {
            [token] => Some(*token),
            _ => None,
        }
    }

    /// Reads the logits of `wanted` after a prompt, in one pass over what no cache holds.
    ///
    /// # Errors
    /// The prompt does not fit, or the engine failed twice.
    pub async fn read_logits(&self, prompt: Vec<u32>, wanted: Vec<u32>) -> Result<Reading, RoleError> {
        run::read(&self.0, prompt, Wanted::Tokens(wanted)).await
    }

    /// Reads the hidden state after a prompt, in one pass over what no cache holds.
    ///
    /// # Errors
    /// The model was not loaded so that its states can be seen, the prompt does not fit, or the engine failed twice.
    pub async fn read_state(&self, prompt: Vec<u32>) -> Result<Reading, RoleError> {
        run::read(&self.0, prompt, Wanted::State(self.0.states)).await
    }

    /// Which of the model's logits are its hidden state.
    #[must_use]
    pub fn states(&self) -> States {
        self.0.states
    }

    /// mistral.rs's own greedy answer to a prompt, and what it cost. The prefix cache is empty afterwards.
    ///
    /// # Errors
    /// The prompt does not fit, or the engine failed.
    pub async fn stock(&self, prompt: Vec<u32>, max_tokens: usize) -> Result<Stock, RoleError> {
        stock::answer(&self.0, prompt, max_tokens).await
    }

    /// Renders messages with the model's chat template; `assistant` text, where given, begins the answer.
    ///
    /// # Errors
    /// The template refuses the messages.
    pub async fn encode_chat(&self, messages: &[Message]) -> Result<Vec<u32>, RoleError> {
        if !self.0.has_chat_template {
            return Err(RoleError::Invalid(format!(
                "the {} model has no chat template; use /v1/completions, or set `chat_template` for this role",
                self.0.role
            )));
        }
        let messages = messages
            .iter()
            .map(|message| {
                IndexMap::from([
                    ("role".to_owned(), Either::Left(message.role.clone())),
                    ("content".to_owned(), Either::Left(message.content.clone())),
                ])
            })
            .collect();
        let (response, mut answer) = mpsc::channel(1);
        let request = Request::Tokenize(TokenizationRequest {
            text: Either::Left(messages),
            tools: None,
            add_generation_prompt: true,
            add_special_tokens: true,
            enable_thinking: None,
            reasoning_effort: None,
            response,
        });
        self.0.send(request).await?;
        match answer.recv().await {
            Some(Ok(tokens)) => Ok(tokens),
            Some(Err(error)) => Err(RoleError::Invalid(format!("the chat template refused the messages: {error}"))),
            None => Err(self.0.failed("the engine ended while rendering the chat template")),
        }
    }
}

impl Inner {
    fn failed(&self, reason: impl std::fmt::Display) -> RoleError {
        RoleError::Failed { role: self.role.clone(), reason: reason.to_string() }
    }

    fn check_context(&self, prompt: &[u32]) -> Result<(), RoleError> {
        if prompt.len() >= self.context {
            return Err(RoleError::ContextExceeded {
                role: self.role.clone(),
                tokens: prompt.len(),
                context: self.context,
            });
        }
        Ok(())
    }
}

#[async_trait]
impl Generator for Engine {
    fn role(&self) -> &str {
        &self.0.role
    }

    fn name(&self) -> String {
        self.model().to_owned()
    }

    fn vocabulary(&self) -> Arc<str> {
        self.0.vocabulary.fingerprint.clone()
    }

    fn context_length(&self) -> usize {
        self.0.context
    }

    fn parameters(&self) -> Option<u64> {
        self.0.parameters
    }

    async fn encode_prompt(&self, prompt: &Prompt) -> Result<Vec<u32>, RoleError> {
        match prompt {
            Prompt::Chat(messages) => self.encode_chat(messages).await,
            Prompt::Text(text) => self.0.vocabulary.encode(text, true).map_err(RoleError::Invalid),
        }
    }

    fn encode_text(&self, text: &str) -> Result<Vec<u32>, RoleError> {
        self.0.vocabulary.encode(text, false).map_err(RoleError::Invalid)
    }

    fn token_bytes(&self, token: u32) -> Vec<u8> {
        self.0.vocabulary.bytes(token)
    }

    fn identity(&self) -> Option<usize> {
        Some(Arc::as_ptr(&self.0).addr())
    }

    async fn turn(&self) -> Turn {
        // On a GPU mistral.rs evicts blocks of its own accord, whatever we do.
        match self.0.device {
            DeviceKind::Cpu => {
                let turn = self.0.turn.clone().acquire_owned().await.ok();
                self.0.begins.store(true, Ordering::Relaxed);
                Turn(turn)
            }
            DeviceKind::Gpu { .. } => Turn(None),
        }
    }

    fn cache(&self) -> CacheUse {
        let gauge = &self.0.cache_gauge;
        // On a GPU mistral.rs evicts without telling.
        let known = self.0.device == DeviceKind::Cpu;
        CacheUse { bytes: known.then(|| gauge.bytes() as u64), flushes: gauge.flushes() }
    }

    async fn forget(&self) -> Result<(), RoleError> {
        if self.0.device != DeviceKind::Cpu {
            // mistral.rs keeps its blocks; what a prompt costs is counted as if it did not.
            self.0.cache.lock().clear();
            return Ok(());
        }
        let _permit = run::lease(&self.0).await?;
        self.0.empty_cache().await
    }

    async fn replay(&self, request: RunRequest, answer: Vec<u32>) -> Result<Vec<Step>, RoleError> {
        replay::replay(&self.0, request, answer).await
    }

    async fn start(&self, request: RunRequest) -> Result<Box<dyn Run>, RoleError> {
        run::start(&self.0, request).await
    }
}
