//! The traits of the three roles: what the loop needs from a draft, a target and a reward model.
//!
//! The mistral.rs engines of `mistralrs_rsd::engine` implement them, and so do the scripted models of the tests. Nothing
//! here depends on mistral.rs.

use std::{borrow::Cow, sync::Arc};

use async_trait::async_trait;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    costs::RunCost,
    features::StepFeatures,
    pipeline::{live_text::RunText, price::TokenPrice, segment::Segmentation},
    sampling::Sampling,
};

/// One chat message as the API delivers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text of the message.
    pub content: String,
}

impl ChatMessage {
    /// A message of the role `system`.
    #[must_use]
    pub fn system(content: impl Into<String>) -> Self {
        Self { role: "system".to_owned(), content: content.into() }
    }

    /// A message of the role `user`.
    #[must_use]
    pub fn user(content: impl Into<String>) -> Self {
        Self { role: "user".to_owned(), content: content.into() }
    }

    /// A message of the role `assistant`.
    #[must_use]
    pub fn assistant(content: impl Into<String>) -> Self {
        Self { role: "assistant".to_owned(), content: content.into() }
    }
}

/// The input that a model continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// Messages, which each model renders with its own chat template.
    Chat(Vec<ChatMessage>),
    /// Plain text, which is continued without a template.
    Text(String),
    /// Tokens, which are continued as they are.
    Tokens(TokenPrompt),
}

/// A prompt of token ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPrompt {
    /// The token ids.
    pub ids: Vec<u32>,
    /// The vocabulary of the ids ([`Generator::vocabulary`]).
    pub vocabulary: Arc<str>,
    /// What the ids say, for models with another vocabulary.
    pub text: String,
}

impl TokenPrompt {
    /// These ids in the vocabulary of a model.
    #[must_use]
    pub fn new(model: &dyn Generator, ids: Vec<u32>) -> Self {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| model.token_bytes(id)).collect();
        Self { ids, vocabulary: model.vocabulary(), text: String::from_utf8_lossy(&bytes).into_owned() }
    }
}

impl Prompt {
    /// What the reward model scores answers to: the plain prompt, the only message besides those of the system, or the
    /// whole conversation, because a follow-up question says nothing without what it follows.
    #[must_use]
    pub fn question(&self) -> Cow<'_, str> {
        let messages = match self {
            Self::Text(text) | Self::Tokens(TokenPrompt { text, .. }) => return text.into(),
            Self::Chat(messages) => messages,
        };
        let instructs = |message: &&ChatMessage| message.role == "system" || message.role == "developer";
        let turns: Vec<&ChatMessage> = messages.iter().filter(|message| !instructs(message)).collect();
        match turns.as_slice() {
            [] => messages.last().map_or("", |message| &message.content).into(),
            [only] => (&only.content).into(),
            turns => {
                let said: Vec<String> =
                    turns.iter().map(|turn| format!("{}: {}", turn.role, turn.content.trim())).collect();
                said.join("\n\n").into()
            }
        }
    }
}

#[cfg(test)]
mod question_tests {
    use super::*;

    #[test]
    fn a_single_question_is_scored_as_it_is_and_a_later_one_with_what_it_follows() {
        let question = |messages: &[ChatMessage]| Prompt::Chat(messages.to_vec()).question().into_owned();
        let [system, first] = [ChatMessage::system("Be brief."), ChatMessage::user("A pen costs 3 euro.")];
        assert_eq!(question(&[system.clone(), first.clone()]), "A pen costs 3 euro.");
        let turns = [system.clone(), first, ChatMessage::assistant("Noted.\n"), ChatMessage::user("And a dozen?")];
        assert_eq!(question(&turns), "user: A pen costs 3 euro.\n\nassistant: Noted.\n\nuser: And a dozen?");
        assert_eq!(question(&[system]), "Be brief.");
        assert_eq!(Prompt::Text("2+2?".to_owned()).question(), "2+2?");
    }
}

/// Why a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepEnd {
    /// The unit's boundary was reached: delimiter, sentence end or token count.
    Boundary,
    /// The limit on tokens per step was reached; the part before counts as a step.
    StepLimit,
    /// The model ended its answer.
    EndOfText,
    /// A stop string of the request appeared.
    StopString,
    /// The token limit of the request, or the context of the model, is used up.
    Length,
}

impl StepEnd {
    /// Whether the answer is over after a step that ended for this reason.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::EndOfText | Self::StopString | Self::Length)
    }
}

/// The log-probability of one generated token, natural logarithm, before temperature and filters.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// The token id.
    pub id: u32,
    /// The log-probability of the token.
    pub logprob: f32,
    /// The most likely tokens at this position, best first.
    pub top: Vec<(u32, f32)>,
}

/// One step as a model generated it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Exact token ids, without the end-of-text token.
    pub tokens: Vec<u32>,
    /// The decoded bytes; a step may end inside a UTF-8 character if steps are cut by tokens.
    pub bytes: Vec<u8>,
    /// Why the step ended.
    pub end: StepEnd,
    /// The features for a resident reward, if the request asked for them and the model exposes its hidden states.
    pub features: Option<Box<StepFeatures>>,
    /// One entry per token if the request asked for log-probabilities.
    pub logprobs: Vec<TokenLogprob>,
    /// Seconds from the start of the step to its last token, prefill included.
    pub seconds: f64,
}

impl Step {
    /// The step as text; bytes that are not UTF-8 become the replacement character.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// A request for one run of a generator.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The prefix to continue: prompt and every accepted step, in the generator's own vocabulary.
    pub prefix: Vec<u32>,
    /// How many tokens of the prefix belong to the answer so far; the sampler's randomness is keyed by it.
    pub position: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Which independent stream of randomness to draw from (see [`crate::sampling::RandomStream`]).
    pub stream: u64,
    /// How the text is cut into steps.
    pub segmentation: Segmentation,
    /// Limit on the tokens of this run.
    pub max_tokens: usize,
    /// Limit on the steps of this run; `None` lets it run to the end of the answer.
    pub max_steps: Option<usize>,
    /// How many steps the run may generate ahead of the scores; 0 waits for each score.
    pub lookahead: usize,
    /// Strings that end the answer.
    pub stop: Vec<String>,
    /// The last bytes of the answer, so that a stop string across two steps is found.
    pub tail: Vec<u8>,
    /// Number of log-probabilities to report per token; `None` reports none.
    pub logprobs: Option<usize>,
    /// Whether steps carry their features for a resident reward.
    pub features: bool,
    /// Where the run writes its text while it decodes, if somebody watches the answer.
    pub live: Option<RunText>,
}

impl RunRequest {
    /// A request for a whole greedy answer to a prompt, which waits for no scores.
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
            live: None,
        }
    }
}

/// The cost of a finished run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RunReport {
    /// Tokens sampled, those after the last completed step included.
    pub generated: usize,
    /// Forward passes that sampled a token, the one of the end token included.
    pub forwards: usize,
    /// Prompt tokens computed because no cache held them.
    pub prefilled: usize,
    /// Tokens computed in addition, to verify proposed tokens.
    pub verified: usize,
    /// All prompt tokens.
    pub prompt: usize,
    /// Seconds until the first token was sampled; all seconds if none was.
    pub prefill_seconds: f64,
    /// Seconds the model worked; waiting for scores is not counted.
    pub seconds: f64,
}

impl RunReport {
    pub(crate) fn cost(&self) -> RunCost {
        let Self { generated, prefilled, prefill_seconds, seconds, .. } = *self;
        RunCost { generated, prefilled, prefill_seconds, seconds }
    }
}

/// The tokens that a model picks after a prefix, as far as a proposal predicts them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verification {
    /// The tokens that the model picks itself, in order. All but the last are the beginning of the proposal; the last is
    /// the first pick that differs from it or comes after it.
    pub tokens: Vec<u32>,
    /// Whether the model ends its answer after these tokens. All of them are then the beginning of the proposal.
    pub ended: bool,
    /// One entry per token if the request asks for log-probabilities.
    pub logprobs: Vec<TokenLogprob>,
    /// Tokens of prefix and proposal that no cache held and that were computed.
    pub computed: usize,
}

impl Verification {
    /// How many tokens of the proposal the model picked itself.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.tokens.len() - usize::from(!self.ended && !self.tokens.is_empty())
    }
}

/// Why a model failed to do its part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoleError {
    /// The prefix does not fit the model's context.
    #[error(
        "the prompt has {tokens} tokens; the {role} model's context is {context}. Shorten the prompt or load the model with a longer context"
    )]
    ContextExceeded {
        /// `draft`, `target` or `reward`.
        role: String,
        /// Tokens of the prefix.
        tokens: usize,
        /// Context length of the model in tokens.
        context: usize,
    },
    /// The request cannot be fulfilled; the text says why.
    #[error("{0}")]
    Invalid(String),
    /// The reward has no opinion on a step.
    #[error("the reward {0} has no opinion on this step")]
    NoOpinion(String),
    /// The engine failed; the text says how.
    #[error("the {role} model failed: {reason}")]
    Failed {
        /// `draft`, `target` or `reward`.
        role: String,
        /// The error of the engine.
        reason: String,
    },
}

/// A run in progress, which yields steps.
///
/// Dropping it ends the run within one token, or within one window of a long prompt, and frees the model.
#[async_trait]
pub trait GeneratorRun: Send {
    /// The next step, or `None` when the run has ended.
    async fn next(&mut self) -> Option<Result<Step, RoleError>>;
    /// Accepts the oldest step without a decision: the run may generate one step more.
    fn accept(&mut self);
    /// Ends the run if it has not ended, and returns its cost.
    async fn finish(self: Box<Self>) -> RunReport;
}

/// Exclusive access to an engine for one answer, returned when dropped; `None` for engines that need no permit.
#[derive(Debug, Default)]
pub struct AnswerPermit(pub Option<OwnedSemaphorePermit>);

/// The content of a model's prefix cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheUse {
    /// Estimated size in bytes, if known.
    pub bytes: Option<u64>,
    /// How often it was cleared because of its size.
    pub flushes: u64,
}

/// Whether a model's engine runs, and how often it has died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelHealth {
    /// False from the death of the engine until it is started again.
    pub running: bool,
    /// How often it has died.
    pub deaths: u64,
}

impl Default for ModelHealth {
    fn default() -> Self {
        Self { running: true, deaths: 0 }
    }
}

/// Requests to a model on a remote engine, from the start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RemoteTraffic {
    /// Requests, retries not counted.
    pub requests: u64,
    /// Requests that were repeated.
    pub retries: u64,
    /// Retries at another address.
    pub failovers: u64,
    /// Failed attempts by kind.
    pub errors: Vec<(&'static str, u64)>,
    /// Requests that wait for their turn.
    pub waiting: u64,
    /// Requests under way.
    pub in_flight: u64,
    /// Replies that began.
    pub first_parts: u64,
    /// Seconds until they did, summed.
    pub first_part_seconds: f64,
    /// The addresses of the engine.
    pub endpoints: Vec<RemoteEndpoint>,
}

impl RemoteTraffic {
    /// The requests to two engines together.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.requests += other.requests;
        self.retries += other.retries;
        self.failovers += other.failovers;
        self.waiting += other.waiting;
        self.in_flight += other.in_flight;
        self.first_parts += other.first_parts;
        self.first_part_seconds += other.first_part_seconds;
        for (count, (_, more)) in self.errors.iter_mut().map(|(_, count)| count).zip(other.errors) {
            *count += more;
        }
        self.endpoints.extend(other.endpoints);
        self
    }
}

/// An address of a remote engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteEndpoint {
    /// Its base URL.
    pub url: String,
    /// False while it is left alone because it failed too often.
    pub usable: bool,
    /// How often it was given up.
    pub openings: u64,
}

/// A language model that continues a prefix step by step.
#[async_trait]
pub trait Generator: Send + Sync {
    /// `draft` or `target`, for error messages.
    fn role(&self) -> &str;
    /// The name of the model.
    fn name(&self) -> String {
        self.role().to_owned()
    }
    /// Identifies the vocabulary: equal for two generators exactly if they share token ids.
    fn vocabulary(&self) -> Arc<str>;
    /// Number of tokens that fit the context of the model.
    fn context_length(&self) -> usize;
    /// Number of parameters without embeddings, for FLOP estimates; `None` if unknown.
    fn parameters(&self) -> Option<u64>;
    /// What its tokens cost, if a provider bills them.
    fn price(&self) -> Option<TokenPrice> {
        None
    }
    /// Token ids of a prompt; messages are rendered with the model's own chat template, and control tokens that they
    /// spell are plain text. The future may be dropped.
    async fn encode_prompt(&self, prompt: &Prompt) -> Result<Vec<u32>, RoleError>;
    /// Token ids of text that continues an answer.
    fn encode_text(&self, text: &str) -> Result<Vec<u32>, RoleError>;
    /// How many tokens of a new answer's prompt need not be computed, because an earlier answer left them in the prefix
    /// cache; 0 if unknown. It says what the answer is expected to cost.
    fn cached_prompt(&self, _prompt: &[u32]) -> usize {
        0
    }
    /// The bytes of one token, for log-probabilities.
    fn token_bytes(&self, token: u32) -> Vec<u8>;
    /// Whether the vocabulary has a token of this id.
    fn has_token(&self, _token: u32) -> bool {
        true
    }
    /// Equal for two generators that share one engine, and so share its permit; `None` if it needs no permit.
    fn engine_id(&self) -> Option<usize> {
        None
    }
    /// Waits for the permit to work on another answer, which is held to the end of that answer.
    ///
    /// An engine in which one answer could evict the cache of another gives out one permit at a time: what it prefills
    /// again differs slightly from what it decoded, so a seeded answer would not repeat beside others.
    async fn answer_permit(&self) -> AnswerPermit {
        AnswerPermit(None)
    }
    /// The content of the prefix cache; returns without waiting.
    fn cache(&self) -> CacheUse {
        CacheUse::default()
    }
    /// Whether the engine runs; returns without waiting.
    fn health(&self) -> ModelHealth {
        ModelHealth::default()
    }
    /// The requests to the engine, if it is a remote one; returns without waiting.
    fn traffic(&self) -> Option<RemoteTraffic> {
        None
    }
    /// Clears the prefix cache, if its content could change later answers.
    async fn clear_cache(&self) -> Result<(), RoleError> {
        Ok(())
    }
    /// Prefills a given answer as if this model had just generated it, and returns its steps with the log-probabilities
    /// and features that the request asks for. The prefix of the request is the prompt.
    async fn replay(&self, _request: RunRequest, _answer: Vec<u32>) -> Result<Vec<Step>, RoleError> {
        Err(RoleError::Invalid(format!("the {} model cannot replay a given answer", self.role())))
    }
    /// Compares proposed tokens with those that this model would pick itself after the prefix of the request, all in one
    /// forward pass: token by token the same that [`Self::start`] would generate.
    async fn verify(&self, _request: &RunRequest, _proposal: &[u32]) -> Result<Verification, RoleError> {
        Err(RoleError::Invalid(format!("the {} model cannot verify proposed tokens", self.role())))
    }
    /// Waits until the model is free, then starts a run.
    async fn start(&self, request: RunRequest) -> Result<Box<dyn GeneratorRun>, RoleError>;
}

/// The input of a reward model: the question, the steps of the answer so far, and the step to score.
#[derive(Debug, Clone, Copy)]
pub struct Trajectory<'a> {
    /// The whole prompt of the request.
    pub prompt: &'a Prompt,
    /// The steps of the answer so far, in order.
    pub steps: &'a [String],
    /// The draft's token ids of the prompt and of these steps; empty where only their text is known.
    pub prefix: &'a [u32],
    /// The text of the step to score.
    pub step: &'a str,
    /// The step to score as generated, with its features if the reward model asks for them.
    pub generated_step: &'a Step,
    /// The features of the accepted draft steps, if the reward model asks for them.
    pub draft_features: &'a [StepFeatures],
}

/// The score of one step and its cost.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepScore {
    /// r in [0, 1].
    pub reward: f64,
    /// What the step states that is false, such as `12 * 3 = 37 (it is 36)`. Such a step is rejected whatever its
    /// reward, unless the threshold accepts every step.
    pub false_statement: Option<String>,
    /// Prompt tokens of the reward model.
    pub prompt: usize,
    /// Prompt tokens computed because no cache held them.
    pub prefilled: usize,
    /// Seconds that the reward model was in use.
    pub seconds: f64,
}

/// A process reward model.
#[async_trait]
pub trait RewardModel: Send + Sync {
    /// Short name for logs and messages.
    fn name(&self) -> &str;
    /// Number of parameters without embeddings, for FLOP estimates; `None` if unknown.
    fn parameters(&self) -> Option<u64>;
    /// Whether it needs the features of the draft steps.
    fn reads_features(&self) -> bool {
        false
    }
    /// The content of the prefix cache of its own model, if it has one.
    fn cache(&self) -> CacheUse {
        CacheUse::default()
    }
    /// Whether the engine of its own model runs, if it has one.
    fn health(&self) -> ModelHealth {
        ModelHealth::default()
    }
    /// The requests to the engine of its own model, if that is a remote one; returns without waiting.
    fn traffic(&self) -> Option<RemoteTraffic> {
        None
    }
    /// Clears the prefix cache of its own model, if it has one.
    async fn clear_cache(&self) -> Result<(), RoleError> {
        Ok(())
    }
    /// Whether it can score now. Only rewards outside this process can be unable to without a failed score.
    ///
    /// # Errors
    /// Why it cannot.
    async fn check_health(&self) -> Result<(), RoleError> {
        Ok(())
    }
    /// Scores the newest step.
    ///
    /// # Errors
    /// The reward failed, or has no opinion on this step ([`RoleError::NoOpinion`]).
    async fn score(&self, trajectory: Trajectory<'_>) -> Result<StepScore, RoleError>;
}
