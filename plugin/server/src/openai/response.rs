//! The answers of the OpenAI API, in OpenAI's formats.

use std::{collections::BTreeMap, sync::Arc};

use rsd_core::{
    pipeline::{
        AnswerOutcome, AnswerProgress, FinishReason,
        roles::{Generator, TokenLogprob},
        trace::AnswerTrace,
    },
    policy::AnswerRoute,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{resolve::AnswerFormat, trace_schema::TraceSchema};
use crate::app::{AppState, now_seconds};

/// Token counts. The prompt counts once, whatever the number of choices.
#[allow(clippy::struct_field_names)]
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
pub(super) struct TokenUsage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
}

impl TokenUsage {
    fn new(outcomes: &[AnswerOutcome]) -> Self {
        let prompt_tokens = outcomes.first().map_or(0, |outcome| outcome.prompt_tokens);
        let completion_tokens = outcomes.iter().map(|outcome| outcome.completion_tokens).sum();
        Self { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }
}

/// An answer, or one event of a stream.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{C}Answer")]
pub(super) struct AnswerBody<'a, C> {
    id: &'a str,
    /// `chat.completion`, `chat.completion.chunk` or `text_completion`.
    object: &'a str,
    /// Seconds since 1970.
    created: u64,
    /// The model name of the request.
    model: &'a str,
    choices: Vec<C>,
    /// In a stream only in the last event, if `stream_options.include_usage` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<TokenUsage>,
    /// If `rsd.trace` asks for it; in a stream only in the last event.
    #[serde(skip_serializing_if = "Option::is_none")]
    rsd: Option<AnswerTraces<'a>>,
}

/// The traces of all choices.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AnswerTraces")]
struct AnswerTraces<'a> {
    #[schemars(with = "Vec<TraceSchema>")]
    choices: Vec<&'a AnswerTrace>,
}

/// Why a choice ended: the model ended it or a stop string appeared (`stop`), or a limit on tokens, steps or time was
/// reached (`length`).
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum FinishName {
    Stop,
    Length,
}

impl From<FinishReason> for FinishName {
    fn from(reason: FinishReason) -> Self {
        match reason {
            FinishReason::Stop => Self::Stop,
            FinishReason::Length => Self::Length,
        }
    }
}

/// A choice of a chat completion.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ChatChoice<'a> {
    index: usize,
    message: AssistantMessage<'a>,
    logprobs: Option<ChatLogprobs>,
    finish_reason: FinishName,
}

#[derive(Debug, Serialize, JsonSchema)]
struct AssistantMessage<'a> {
    /// `assistant`.
    role: &'a str,
    content: &'a str,
}

/// What one event adds to a choice of a chat completion.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ChatChunk<'a> {
    index: usize,
    delta: ChatDelta<'a>,
    logprobs: Option<ChatLogprobs>,
    /// Absent until the choice ends.
    finish_reason: Option<FinishName>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
struct ChatDelta<'a> {
    /// `assistant`, in the first event of a choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
}

/// A choice of a plain completion, or what one event adds to it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TextChoice<'a> {
    index: usize,
    text: &'a str,
    logprobs: Option<TextLogprobs>,
    /// Absent until the choice ends.
    finish_reason: Option<FinishName>,
}

/// Log-probabilities of a chat completion.
#[derive(Debug, Serialize, JsonSchema)]
struct ChatLogprobs {
    content: Vec<TokenEntry>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TokenEntry {
    token: String,
    logprob: f64,
    bytes: Vec<u8>,
    /// The most likely tokens at this position, best first.
    top_logprobs: Vec<TopToken>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TopToken {
    token: String,
    logprob: f64,
    bytes: Vec<u8>,
}

/// Log-probabilities of a plain completion; the lists have one entry for each token.
#[derive(Debug, Serialize, JsonSchema)]
struct TextLogprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f64>,
    /// The most likely tokens with their log-probabilities.
    top_logprobs: Vec<BTreeMap<String, f64>>,
}

/// The model names of `GET /v1/models`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ModelList {
    /// `list`.
    object: &'static str,
    data: Vec<ModelEntry>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ModelEntry {
    /// The name that requests give as `model`.
    id: String,
    /// `model`.
    object: &'static str,
    /// When the server started, in seconds since 1970.
    created: u64,
    /// `local`.
    owned_by: &'static str,
}

impl ModelList {
    pub fn new(names: Vec<String>, created: u64) -> Self {
        let entry = |id| ModelEntry { id, object: "model", created, owned_by: "local" };
        Self { object: "list", data: names.into_iter().map(entry).collect() }
    }
}

/// Makes the bodies of one answer, whole or as events of a stream.
pub(super) struct AnswerWriter {
    app: Arc<AppState>,
    format: AnswerFormat,
    id: String,
    created: u64,
}

impl AnswerWriter {
    pub fn new(app: Arc<AppState>, format: AnswerFormat) -> Self {
        let prefix = if format.chat { "chatcmpl" } else { "cmpl" };
        let id = format!("{prefix}-{}", uuid::Uuid::new_v4().simple());
        Self { app, format, id, created: now_seconds() }
    }

    /// The whole answer.
    pub fn complete(&self, outcomes: &[AnswerOutcome]) -> Value {
        let usage = Some(TokenUsage::new(outcomes));
        let rsd = self.format.trace.then(|| traces(outcomes));
        let outcomes = outcomes.iter().enumerate();
        if self.format.chat {
            let choices = outcomes.map(|(index, outcome)| ChatChoice {
                index,
                message: AssistantMessage { role: "assistant", content: &outcome.text },
                logprobs: self.format.logprobs.then(|| chat_logprobs(self.decoder(), &outcome.logprobs)),
                finish_reason: outcome.finish.into(),
            });
            to_value(&AnswerBody { usage, rsd, ..self.body("chat.completion", choices.collect()) })
        } else {
            let choices = outcomes.map(|(index, outcome)| TextChoice {
                index,
                text: &outcome.text,
                logprobs: self.format.logprobs.then(|| text_logprobs(self.decoder(), &outcome.logprobs)),
                finish_reason: Some(outcome.finish.into()),
            });
            to_value(&AnswerBody { usage, rsd, ..self.body("text_completion", choices.collect()) })
        }
    }

    /// The first event of a choice; plain completions have none.
    pub fn first_event(&self, index: usize) -> Option<Value> {
        let delta = ChatDelta { role: Some("assistant"), content: Some("") };
        self.format.chat.then(|| self.chat_event(ChatChunk { index, delta, logprobs: None, finish_reason: None }))
    }

    /// The event of a step; `None` if the step adds nothing that the client can see.
    pub fn step_event(&self, index: usize, progress: &AnswerProgress) -> Option<Value> {
        let has_logprobs = !progress.logprobs.is_empty();
        if progress.text.is_empty() && !has_logprobs {
            return None;
        }
        let text = progress.text.as_str();
        Some(if self.format.chat {
            let logprobs = has_logprobs.then(|| chat_logprobs(self.decoder(), &progress.logprobs));
            let delta = ChatDelta { content: Some(text), ..ChatDelta::default() };
            self.chat_event(ChatChunk { index, delta, logprobs, finish_reason: None })
        } else {
            let logprobs = has_logprobs.then(|| text_logprobs(self.decoder(), &progress.logprobs));
            self.text_event(TextChoice { index, text, logprobs, finish_reason: None })
        })
    }

    /// The last event of a choice.
    pub fn end_event(&self, index: usize, finish: FinishReason) -> Value {
        let finish_reason = Some(finish.into());
        if self.format.chat {
            self.chat_event(ChatChunk { index, delta: ChatDelta::default(), logprobs: None, finish_reason })
        } else {
            self.text_event(TextChoice { index, text: "", logprobs: None, finish_reason })
        }
    }

    /// The last event of a stream, with usage and traces but without a choice; `None` if the client asked for neither.
    pub fn last_event(&self, outcomes: &[AnswerOutcome]) -> Option<Value> {
        let usage = self.format.include_usage.then(|| TokenUsage::new(outcomes));
        let rsd = self.format.trace.then(|| traces(outcomes));
        if usage.is_none() && rsd.is_none() {
            return None;
        }
        let object = if self.format.chat { "chat.completion.chunk" } else { "text_completion" };
        Some(to_value(&AnswerBody { usage, rsd, ..self.body::<TextChoice<'_>>(object, Vec::new()) }))
    }

    fn chat_event(&self, chunk: ChatChunk<'_>) -> Value {
        to_value(&self.body("chat.completion.chunk", vec![chunk]))
    }

    fn text_event(&self, choice: TextChoice<'_>) -> Value {
        to_value(&self.body("text_completion", vec![choice]))
    }

    fn body<'a, C>(&'a self, object: &'a str, choices: Vec<C>) -> AnswerBody<'a, C> {
        let Self { id, created, format, .. } = self;
        AnswerBody { id, object, created: *created, model: &format.model, choices, usage: None, rsd: None }
    }

    /// The model whose vocabulary the tokens of the answer belong to, if one model answers alone.
    fn decoder(&self) -> &dyn Generator {
        match self.format.route {
            AnswerRoute::Draft => self.app.rsd.draft.as_ref(),
            AnswerRoute::Rsd | AnswerRoute::Target => self.app.rsd.target.as_ref(),
        }
    }
}

/// The types have no map with other keys than strings, so this cannot fail.
fn to_value(body: &impl Serialize) -> Value {
    serde_json::to_value(body).unwrap_or_default()
}

fn traces(outcomes: &[AnswerOutcome]) -> AnswerTraces<'_> {
    AnswerTraces { choices: outcomes.iter().map(|outcome| &outcome.trace).collect() }
}

fn token_text(model: &dyn Generator, id: u32) -> String {
    String::from_utf8_lossy(&model.token_bytes(id)).into_owned()
}

fn chat_logprobs(model: &dyn Generator, tokens: &[TokenLogprob]) -> ChatLogprobs {
    let top = |&(id, logprob): &(u32, f32)| TopToken {
        token: token_text(model, id),
        logprob: logprob.into(),
        bytes: model.token_bytes(id),
    };
    let entry = |token: &TokenLogprob| TokenEntry {
        token: token_text(model, token.id),
        logprob: token.logprob.into(),
        bytes: model.token_bytes(token.id),
        top_logprobs: token.top.iter().map(top).collect(),
    };
    ChatLogprobs { content: tokens.iter().map(entry).collect() }
}

fn text_logprobs(model: &dyn Generator, tokens: &[TokenLogprob]) -> TextLogprobs {
    let top =
        |token: &TokenLogprob| token.top.iter().map(|&(id, logprob)| (token_text(model, id), logprob.into())).collect();
    TextLogprobs {
        tokens: tokens.iter().map(|token| token_text(model, token.id)).collect(),
        token_logprobs: tokens.iter().map(|token| token.logprob.into()).collect(),
        top_logprobs: tokens.iter().map(top).collect(),
    }
}
