//! The three roles as traits: what the loop asks of a draft, a target and a reward model.
//!
//! The in-process mistral.rs engines implement them (`crate::engine`); so do the scripted models that the
//! loop's own tests run on. Nothing here knows about mistral.rs.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OwnedSemaphorePermit;

use crate::{pipeline::segment::Segmentation, reward::features::StepFeatures, sampling::Sampling};

/// One chat message as the API delivers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The message's text.
    pub content: String,
}

/// What the client asked to be continued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// Messages, to be rendered with each role's own chat template.
    Chat(Vec<Message>),
    /// Plain text, continued as it is.
    Text(String),
}

impl Prompt {
    /// The text a reward model judges answers to: the last user message, or the whole plain prompt.
    #[must_use]
    pub fn question(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Chat(messages) => messages
                .iter()
                .rev()
                .find(|message| message.role == "user")
                .or(messages.last())
                .map_or("", |message| &message.content),
        }
    }
}

/// Why a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepEnd {
    /// The unit's boundary was reached: delimiter, sentence end or token count.
    Boundary,
    /// The cap on tokens per step cut it; it counts as a step all the same.
    StepLimit,
    /// The model ended its answer.
    EndOfText,
    /// A stop string of the request appeared.
    StopString,
    /// The request's token limit, or the model's context, is used up.
    Length,
}

impl StepEnd {
    /// Whether the answer is over after a step that ended so.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::EndOfText | Self::StopString | Self::Length)
    }
}

/// The log-probability of one generated token, natural logarithm, before temperature and filters.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// The token.
    pub id: u32,
    /// Its log-probability.
    pub logprob: f32,
    /// The most likely tokens at this position, best first.
    pub top: Vec<(u32, f32)>,
}

/// One step as a model wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Exact token ids, without the end-of-text token.
    pub tokens: Vec<u32>,
    /// The decoded bytes; a step may end inside a UTF-8 character when its unit is the token.
    pub bytes: Vec<u8>,
    /// Why it ended.
    pub end: StepEnd,
    /// What a head can read of the step, where the request asked for it and the model's states can be seen.
    pub features: Option<Box<StepFeatures>>,
    /// One entry per token when the request asked for log-probabilities.
    pub logprobs: Vec<TokenLogprob>,
    /// Seconds from the moment the model started on the step to its last token, prefill included.
    pub seconds: f64,
}

impl Step {
    /// The step as text; bytes that are no UTF-8 show as the replacement character.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// What one run of a generator is to do.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The prefix to continue: prompt and every accepted step, in the generator's own vocabulary.
    pub prefix: Vec<u32>,
    /// How many tokens of the prefix belong to the answer so far; the sampler's randomness is keyed by it.
    pub position: usize,
    /// Sampling parameters.
    pub sampling: Sampling,
    /// Which independent stream of randomness to draw from (see [`crate::sampling::Stream`]).
    pub stream: u64,
    /// How text is cut into steps.
    pub segmentation: Segmentation,
    /// Most tokens this run may generate.
    pub max_tokens: usize,
    /// Most steps this run may write; `None` is until the end of the answer.
    pub max_steps: Option<usize>,
    /// How many steps the run may be ahead of the verdicts; 0 waits for each one.
    pub lookahead: usize,
    /// Stop strings.
    pub stop: Vec<String>,
    /// The answer's last bytes, so that a stop string across two steps is seen.
    pub tail: Vec<u8>,
    /// How many log-probabilities to report per token; `None` reports none.
    pub logprobs: Option<usize>,
    /// Whether steps carry their features.
    pub features: bool,
}

impl RunRequest {
    /// A whole greedy answer after a prompt, which waits for no verdict.
    #[must_use]
    pub fn greedy(prefix: Vec<u32>, segmentation: Segmentation, max_tokens: usize) -> Self {
        Self {
            prefix,
            position: 0,
            sampling: Sampling::default(),
            stream: 0,
            segmentation,
            max_tokens,
            max_steps: None,
            lookahead: usize::MAX,
            stop: Vec::new(),
            tail: Vec::new(),
            logprobs: None,
            features: false,
        }
    }
}

/// What a finished run cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RunReport {
    /// Tokens sampled, the ones after the last published step included.
    pub generated: usize,
    /// Forward passes that ended in a sampled token, the end token's included.
    pub forwards: usize,
    /// Prompt tokens that had to be computed because no cache held them.
    pub prefilled: usize,
    /// Prompt tokens in all.
    pub prompt: usize,
    /// Seconds until the first token was sampled; all of them where none was.
    pub prefill_seconds: f64,
    /// Seconds the model worked in all; waiting for verdicts is no work.
    pub seconds: f64,
}

/// Why a role could not do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// The prefix does not fit the model's context.
    #[error(
        "the prompt has {tokens} tokens; the {role} model's context is {context}. Shorten the prompt or load the model with a longer context"
    )]
    ContextExceeded {
        /// Which role.
        role: String,
        /// Tokens in the prefix.
        tokens: usize,
        /// Tokens the model can hold.
        context: usize,
    },
    /// The request itself cannot be honoured.
    #[error("{0}")]
    Invalid(String),
    /// The engine failed; the text says how.
    #[error("the {role} model failed: {reason}")]
    Failed {
        /// Which role.
        role: String,
        /// What the engine said.
        reason: String,
    },
}

/// A run in progress: a stream of steps.
///
/// Dropping it ends the run within one token and frees the model.
#[async_trait]
pub trait Run: Send {
    /// The next step, or `None` when the run has ended.
    async fn next(&mut self) -> Option<Result<Step, RoleError>>;
    /// The oldest unjudged step was accepted: the run may go one step further.
    fn accept(&mut self);
    /// Ends the run now if it has not ended, and says what it cost.
    async fn finish(self: Box<Self>) -> RunReport;
}

/// Leave to work on an answer, given back when dropped.
#[derive(Debug, Default)]
pub struct Turn(pub Option<OwnedSemaphorePermit>);

/// What a model's prefix cache holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheUse {
    /// Estimated bytes, where known.
    pub bytes: Option<u64>,
    /// Times it was emptied.
    pub flushes: u64,
}

/// A language model that continues a prefix step by step.
#[async_trait]
pub trait Generator: Send + Sync {
    /// `draft` or `target`, for messages.
    fn role(&self) -> &str;
    /// The model's own name.
    fn name(&self) -> String {
        self.role().to_owned()
    }
    /// Equal for two generators exactly when they share token ids.
    fn vocabulary(&self) -> Arc<str>;
    /// Tokens the model can hold.
    fn context_length(&self) -> usize;
    /// Parameters without embeddings, for FLOP estimates.
    fn parameters(&self) -> Option<u64>;
    /// Token ids of a prompt, rendered with this model's own chat template.
    async fn encode_prompt(&self, prompt: &Prompt) -> Result<Vec<u32>, RoleError>;
    /// Token ids of text that continues an answer.
    fn encode_text(&self, text: &str) -> Result<Vec<u32>, RoleError>;
    /// The text of one token, for log-probabilities.
    fn token_bytes(&self, token: u32) -> Vec<u8>;
    /// The same for two generators that are one model underneath, and so have one turn between them.
    fn identity(&self) -> Option<usize> {
        None
    }
    /// Waits until this model may begin another answer. Held to the answer's end.
    ///
    /// A model whose cache the runs of one answer would lose to those of another gives out one turn at a time:
    /// what is computed anew comes out slightly different, and a seeded answer would not repeat itself in company.
    async fn turn(&self) -> Turn {
        Turn(None)
    }
    /// What its prefix cache holds; waits for nothing.
    fn cache(&self) -> CacheUse {
        CacheUse::default()
    }
    /// Empties its prefix cache, where what is in there could change the answers to come.
    async fn forget(&self) -> Result<(), RoleError> {
        Ok(())
    }
    /// Reads an answer that is already written as if this model had just written it: its steps with log-probabilities
    /// and features as the request asks for them. The request's prefix is the prompt.
    async fn replay(&self, _request: RunRequest, _answer: Vec<u32>) -> Result<Vec<Step>, RoleError> {
        Err(RoleError::Invalid(format!("the {} model cannot read an answer that is already written", self.role())))
    }
    /// Waits for the model to be free, then starts on the request.
    async fn start(&self, request: RunRequest) -> Result<Box<dyn Run>, RoleError>;
}

/// Everything a reward model may look at: the question, the steps taken, the step to judge.
#[derive(Debug, Clone, Copy)]
pub struct Trajectory<'a> {
    /// The whole prompt.
    pub prompt: &'a Prompt,
    /// The steps taken so far, in order.
    pub steps: &'a [String],
    /// The new step's text.
    pub step: &'a str,
    /// The new step as written, with its features where the reward asked for them.
    pub written: &'a Step,
    /// The draft's steps taken so far, where the reward asked for features.
    pub drafted: &'a [StepFeatures],
}

/// A verdict and what it cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Score {
    /// r in [0, 1].
    pub reward: f64,
    /// Tokens in the judged prompt.
    pub prompt: usize,
    /// Of them, the ones that had to be computed.
    pub prefilled: usize,
    /// Seconds the reward model was held.
    pub seconds: f64,
}

/// A process reward model.
#[async_trait]
pub trait Reward: Send + Sync {
    /// Short name for traces and messages.
    fn name(&self) -> &str;
    /// Parameters without embeddings, for FLOP estimates.
    fn parameters(&self) -> Option<u64>;
    /// Whether it reads the features of the draft's steps.
    fn reads_features(&self) -> bool {
        false
    }
    /// What the prefix cache of its own model holds; nothing where it has none.
    fn cache(&self) -> CacheUse {
        CacheUse::default()
    }
    /// Empties the prefix cache of its own model, where it has one.
    async fn forget(&self) -> Result<(), RoleError> {
        Ok(())
    }
    /// Scores the newest step.
    async fn score(&self, trajectory: Trajectory<'_>) -> Result<Score, RoleError>;
}
