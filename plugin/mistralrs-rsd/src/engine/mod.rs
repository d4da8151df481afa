//! Runs one model in mistral.rs and drives it token by token through mistral.rs's public API.
//!
//! Only this module and `cli/serve` name mistral.rs types. Each workaround for a behavior of mistral.rs 0.8.1 is
//! explained where it is applied. Each of these behaviors has a test (`tests/tests/traps`), so an upgrade shows which
//! workarounds are no longer needed.
//!
//! An engine serves one request at a time: the request holds the *engine permit*. On a CPU mistral.rs is not safe with
//! concurrent requests, and the step sampler may wait for a decision on the engine's thread only because no other
//! request uses that thread. Requests still overlap, because each role has an engine of its own.

mod cache;
mod chat_prompt;
mod gate;
mod health;
mod load;
mod logit_reader;
mod native_baseline;
mod prefill;
mod replay;
mod request;
mod run;
mod sampler_hook;
mod spec;
mod step_sampler;
mod threads;
mod token_picker;
mod verify;
mod weight_files;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use mistralrs_core::{MistralRs, Pipeline, Request};
use parking_lot::Mutex;
use tokenizers::Tokenizer;
use tokio::sync::{Semaphore, mpsc};

pub use load::LoadError;
pub use mistralrs_core::ModelSelected;
pub use native_baseline::NativeBaseline;
pub use spec::{EngineSpec, SpecError};

use cache::{CacheGauge, CacheMirror};
use health::EngineHealth;
use logit_reader::LogitSelection;
use rsd_core::pipeline::roles::{
    AnswerPermit, CacheUse, ChatMessage, Generator, GeneratorRun, ModelHealth, Prompt, RoleError, RunRequest, Step,
    TokenPrompt, Verification,
};
use rsd_head::state_layout::StateLayout;
use rsd_vocabulary::Vocabulary;

/// A loaded model that continues token prefixes. Clones share the model.
#[derive(Clone)]
pub struct Engine(Arc<EngineCore>);

struct EngineCore {
    role: String,
    model: String,
    mistral: Arc<MistralRs>,
    /// The channel to the engine's thread that was last used. Another one means another thread with an empty cache.
    channel: Mutex<Option<mpsc::Sender<Request>>>,
    health: EngineHealth,
    /// Shared with the engine's thread, which holds the lock during a forward pass. Only for the chat template.
    pipeline: Arc<tokio::sync::Mutex<dyn Pipeline + Send + Sync>>,
    vocabulary: Arc<Vocabulary>,
    context: usize,
    parameters: Option<u64>,
    /// A semaphore with one permit. Its holder may send requests to the engine.
    engine_permit: Arc<Semaphore>,
    /// A semaphore with one permit. Its holder works on an answer; see [`Generator::answer_permit`].
    answer_permit: Arc<Semaphore>,
    /// True from the start of an answer until the cache is back within its budget.
    answer_begins: AtomicBool,
    cache: Mutex<CacheMirror>,
    cache_gauge: Arc<CacheGauge>,
    device: DeviceKind,
    has_chat_template: bool,
    /// Which part of the output row is the hidden state.
    states: StateLayout,
    /// False once a prompt found nothing of its own beginning in the cache: some kinds of models have no prefix cache.
    extends_prefixes: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeviceKind {
    /// mistral.rs never evicts from its sequence-level prefix cache on a CPU. [`CacheMirror`] tracks the cache, and the
    /// engine empties it.
    Cpu,
    /// mistral.rs evicts on its own. `block` is the block size of PagedAttention, or 1 where it is off.
    Gpu { block: usize },
}

/// Logits at the end of a prompt, and what computing them cost.
#[derive(Debug, Clone, PartialEq)]
pub struct LogitReading {
    /// One logit per selected token, or the hidden state.
    pub logits: Vec<f32>,
    /// Tokens in the prompt.
    pub prompt: usize,
    /// Prompt tokens that no cache held and that were prefilled.
    pub prefilled: usize,
    /// Seconds for which the engine permit was held.
    pub seconds: f64,
}

impl Engine {
    /// The name under which the model was loaded.
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

    /// The model's tokens.
    #[must_use]
    pub fn tokens(&self) -> Arc<Vocabulary> {
        self.0.vocabulary.clone()
    }

    /// The token that spells `text`, if a single one does.
    #[must_use]
    pub fn single_token(&self, text: &str) -> Option<u32> {
        match self.0.vocabulary.encode(text, false).ok()?.as_slice() {
            [token] => Some(*token),
            _ => None,
        }
    }

    /// Returns the logits of `tokens` after a prompt. Prefills the part of the prompt that no cache holds.
    ///
    /// # Errors
    /// The prompt does not fit the context, or the engine failed twice.
    pub async fn read_logits(&self, prompt: Vec<u32>, tokens: Vec<u32>) -> Result<LogitReading, RoleError> {
        run::read_logits(&self.0, prompt, LogitSelection::Tokens(tokens)).await
    }

    /// Returns the hidden state after a prompt. Prefills the part of the prompt that no cache holds.
    ///
    /// # Errors
    /// The model does not expose its hidden states, the prompt does not fit the context, or the engine failed twice.
    pub async fn read_state(&self, prompt: Vec<u32>) -> Result<LogitReading, RoleError> {
        run::read_logits(&self.0, prompt, LogitSelection::State(self.0.states)).await
    }

    /// Which part of the model's output row is its hidden state.
    #[must_use]
    pub fn states(&self) -> StateLayout {
        self.0.states
    }

    /// Lets mistral.rs answer a prompt by its own greedy decoding and measures it. The prefix cache is empty
    /// afterwards.
    ///
    /// # Errors
    /// The prompt does not fit the context, or the engine failed.
    pub async fn native_baseline(&self, prompt: Vec<u32>, max_tokens: usize) -> Result<NativeBaseline, RoleError> {
        native_baseline::answer(&self.0, prompt, max_tokens).await
    }

    /// Renders messages with the model's chat template and tokenizes the result. A control token that a message spells
    /// is plain text.
    ///
    /// # Errors
    /// The model has no chat template, or the template rejects the messages.
    pub async fn encode_chat(&self, messages: &[ChatMessage]) -> Result<Vec<u32>, RoleError> {
        chat_prompt::encode(&self.0, messages).await
    }
}

impl EngineCore {
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
        self.0.vocabulary.fingerprint()
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
            Prompt::Tokens(prompt) if prompt.vocabulary == self.vocabulary() => {
                self.0.vocabulary.check(&prompt.ids).map_err(RoleError::Invalid)?;
                Ok(prompt.ids.clone())
            }
            // Who continues a text writes the template himself, control tokens included.
            Prompt::Text(text) | Prompt::Tokens(TokenPrompt { text, .. }) => {
                self.0.vocabulary.encode(text, true).map_err(RoleError::Invalid)
            }
        }
    }

    fn encode_text(&self, text: &str) -> Result<Vec<u32>, RoleError> {
        self.0.vocabulary.encode_plain(text).map_err(RoleError::Invalid)
    }

    fn cached_prompt(&self, prompt: &[u32]) -> usize {
        self.0.cache.lock().served(prompt, true)
    }

    fn token_bytes(&self, token: u32) -> Vec<u8> {
        self.0.vocabulary.bytes(token)
    }

    fn has_token(&self, token: u32) -> bool {
        self.0.vocabulary.check(&[token]).is_ok()
    }

    fn engine_id(&self) -> Option<usize> {
        Some(Arc::as_ptr(&self.0).addr())
    }

    async fn answer_permit(&self) -> AnswerPermit {
        // On a GPU mistral.rs evicts blocks on its own, so holding a permit would protect nothing.
        match self.0.device {
            DeviceKind::Cpu => {
                let permit = self.0.answer_permit.clone().acquire_owned().await.ok();
                self.0.answer_begins.store(true, Ordering::Relaxed);
                AnswerPermit(permit)
            }
            DeviceKind::Gpu { .. } => AnswerPermit(None),
        }
    }

    fn cache(&self) -> CacheUse {
        let gauge = &self.0.cache_gauge;
        // On a GPU mistral.rs evicts without reporting it.
        let known = self.0.device == DeviceKind::Cpu;
        CacheUse { bytes: known.then(|| gauge.bytes() as u64), flushes: gauge.flushes() }
    }

    fn health(&self) -> ModelHealth {
        self.0.health.read()
    }

    async fn clear_cache(&self) -> Result<(), RoleError> {
        if self.0.device != DeviceKind::Cpu {
            // mistral.rs keeps its blocks. The cost of a prompt is counted as if the blocks were gone.
            self.0.cache.lock().clear();
            return Ok(());
        }
        let permit = run::engine_permit(&self.0).await?;
        let core = self.0.clone();
        // On a task of its own, because a caller that gives up must not drop the channel on which mistral.rs answers.
        let emptied = tokio::spawn(async move {
            let _permit = permit;
            core.empty_cache().await
        });
        emptied.await.unwrap_or_else(|error| Err(self.0.failed(error)))
    }

    async fn replay(&self, request: RunRequest, answer: Vec<u32>) -> Result<Vec<Step>, RoleError> {
        replay::replay(&self.0, request, answer).await
    }

    async fn verify(&self, request: &RunRequest, proposal: &[u32]) -> Result<Verification, RoleError> {
        verify::verify(&self.0, request, proposal).await
    }

    async fn start(&self, request: RunRequest) -> Result<Box<dyn GeneratorRun>, RoleError> {
        run::start(&self.0, request).await
    }
}
