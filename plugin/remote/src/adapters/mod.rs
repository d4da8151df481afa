//! What each engine's requests and replies look like. Everything here is pure.

mod identify;
mod llama_server;
mod openai;
mod reply_fields;
mod sglang;
#[cfg(test)]
mod testing;
mod vllm;

use rsd_core::{pipeline::roles::TokenLogprob, sampling::Sampling};
use serde_json::Value;

pub use identify::{IdentifiedEngine, IdentityReply, UnknownEngine, identify, identifying_requests};
pub use llama_server::LlamaServerAdapter;
pub use openai::OpenAiAdapter;
pub use sglang::SglangAdapter;
pub use vllm::VllmAdapter;

use crate::transport::EngineRequest;

/// What an engine can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineAbilities {
    /// It takes token ids and returns the ids of what it decoded. Otherwise text goes both ways.
    pub token_ids: bool,
    /// Every decoded id arrives in a stream, so one request can last for many steps. Otherwise a request ends with a step
    /// and is not streamed.
    pub complete_streams: bool,
    /// It reports log-probabilities of the tokens that it decodes.
    pub logprobs: bool,
}

/// The prefix that an engine continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompletionPrefix<'a> {
    /// Token ids, for engines that take them.
    Ids(&'a [u32]),
    /// Text, for the others.
    Text(&'a str),
}

/// A completion to ask an engine for.
#[derive(Debug, Clone, Copy)]
pub struct CompletionCall<'a> {
    /// The name of the model, as the engine knows it.
    pub model: &'a str,
    /// What is continued.
    pub prefix: CompletionPrefix<'a>,
    /// Limit on the decoded tokens.
    pub max_tokens: usize,
    /// How tokens are chosen; its seed is not used.
    pub sampling: &'a Sampling,
    /// The seed of this request, below 2^63.
    pub seed: u64,
    /// Strings at which the engine may end. The token that completes one is part of the reply.
    pub stop: &'a [String],
    /// Whether the reply is a stream.
    pub stream: bool,
    /// Number of alternatives to report for each token; `None` reports no log-probabilities.
    pub logprobs: Option<usize>,
}

/// Why an engine ended a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompletionEnd {
    /// The model ended its answer.
    EndOfText,
    /// One of the strings of [`CompletionCall::stop`] appeared.
    StopString,
    /// The limit on tokens, or the context, is used up.
    Length,
    /// The engine says only that it stopped.
    Unknown,
}

/// Tokens of a prompt and how many of them the engine's cache held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PromptUse {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Those that a cache held; `None` if the engine does not say.
    pub cached: Option<usize>,
}

/// A part of a completion: a whole reply, or one event of a stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CompletionDelta {
    /// New token ids, without the token by which the model ended its answer; empty if the engine reports no ids.
    pub tokens: Vec<u32>,
    /// New text. It is what an engine without ids decoded; where there are ids it is not used.
    pub text: String,
    /// Log-probabilities of the new tokens, if they were asked for.
    pub logprobs: Vec<TokenLogprob>,
    /// Why the completion ended, in its last part.
    pub end: Option<CompletionEnd>,
    /// The prompt, where this part tells it.
    pub prompt: Option<PromptUse>,
    /// Seconds of prefill, where the engine tells them. Otherwise the first token shows when it was over.
    pub prefill_seconds: Option<f64>,
}

/// Why a reply cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A part is missing or has another type.
    #[error("the engine's reply has no usable `{0}`")]
    Unexpected(&'static str),
    /// The reply is an error of the engine, inside a stream that began well.
    #[error("the engine reported: {message}")]
    Engine {
        /// The HTTP status that the error stands for, if it says.
        status: Option<u16>,
        /// The engine's words.
        message: String,
    },
}

/// Asks how probable single tokens are right after a prompt.
#[derive(Debug, Clone, Copy)]
pub struct LabelCall<'a> {
    /// The name of the model, as the engine knows it.
    pub model: &'a str,
    /// The prompt.
    pub prefix: CompletionPrefix<'a>,
    /// The tokens.
    pub labels: &'a [u32],
    /// What they spell, for engines that name tokens by their text.
    pub texts: &'a [String],
}

/// Numbers that an engine computed for a prompt, without decoding an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScoreReply {
    /// One row for each token of the prompt that the engine looked at, in their order.
    pub rows: Vec<Vec<f32>>,
    /// The prompt, where the reply tells it.
    pub prompt: Option<PromptUse>,
}

/// Parses the replies to one completion, in order.
pub trait ReplyParser: Send {
    /// Parses a whole reply, or the next event of a stream.
    ///
    /// # Errors
    /// It does not look as the engine's replies do, or it is an error.
    fn parse(&mut self, reply: &Value) -> Result<CompletionDelta, ReplyError>;
}

/// A prompt in the making: some engines need two requests to turn messages into ids.
#[derive(Debug, Clone, PartialEq)]
pub enum ChatEncoding {
    /// The reply to this request is to be given to [`EngineAdapter::chat_encoding_reply`].
    Ask(EngineRequest),
    /// The rendered prompt as text. It is tokenized with control tokens recognized.
    Text(String),
    /// The rendered prompt as ids.
    Ids(Vec<u32>),
}

/// One kind of engine: the requests it takes and the replies it gives.
pub trait EngineAdapter: Send + Sync {
    /// The value of `engine` in a deployment file.
    fn name(&self) -> &'static str;
    /// The sampling parameter that the engine cannot express, if one was given.
    fn unsupported(&self, sampling: &Sampling) -> Option<&'static str>;
    /// What it can do.
    fn abilities(&self) -> EngineAbilities;
    /// A completion.
    fn completion(&self, call: &CompletionCall<'_>) -> EngineRequest;
    /// A parser for the replies to one completion.
    fn parser(&self, call: &CompletionCall<'_>) -> Box<dyn ReplyParser>;
    /// The first request that renders messages, given as pairs of role and content; `None` if the engine renders none.
    fn chat_encoding(&self, model: &str, messages: &[(&str, &str)]) -> Option<EngineRequest>;
    /// What follows from the reply to a request for rendering.
    ///
    /// # Errors
    /// It does not look as the engine's replies do.
    fn chat_encoding_reply(&self, reply: &Value) -> Result<ChatEncoding, ReplyError>;
    /// The request for the log-probabilities of [`LabelCall::labels`]. At most one token is decoded.
    fn labels(&self, call: &LabelCall<'_>) -> EngineRequest;
    /// One row with a log-probability for each label; minus infinity for one that the engine did not report.
    ///
    /// # Errors
    /// It does not look as the engine's replies do.
    fn labels_reply(&self, call: &LabelCall<'_>, reply: &Value) -> Result<ScoreReply, ReplyError>;
    /// The request for the outputs of the model's head, without an activation; `None` if the engine runs no such models.
    fn pooling(&self, _model: &str, _prompt: &[u32]) -> Option<EngineRequest> {
        None
    }
    /// The outputs of the head.
    ///
    /// # Errors
    /// It does not look as the engine's replies do.
    fn pooling_reply(&self, _reply: &Value) -> Result<ScoreReply, ReplyError> {
        Err(ReplyError::Unexpected("data"))
    }
    /// The request for the hidden state after the final norm at the last token of a prompt; `None` if the engine returns
    /// none.
    fn state(&self, _model: &str, _prompt: &[u32]) -> Option<EngineRequest> {
        None
    }
    /// One row: the state.
    ///
    /// # Errors
    /// It does not look as the engine's replies do.
    fn state_reply(&self, _reply: &Value) -> Result<ScoreReply, ReplyError> {
        Err(ReplyError::Unexpected("embedding"))
    }
    /// The request that tells which model is served and its context.
    fn model_info(&self) -> EngineRequest;
    /// The names of the served models, each with the tokens of its context if the reply tells them.
    ///
    /// # Errors
    /// It does not look as the engine's replies do.
    fn model_info_reply(&self, reply: &Value) -> Result<Vec<(String, Option<usize>)>, ReplyError>;
}
