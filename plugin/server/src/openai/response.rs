//! The answers of the OpenAI API, in OpenAI's formats.

use std::{borrow::Cow, sync::Arc};

use rsd_core::pipeline::{
    AnswerOutcome, AnswerProgress, FinishReason, PromptScore,
    roles::{Generator, StepEnd, TokenLogprob},
    trace::AnswerTrace,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{
    logprobs::{ChatLogprobs, TextLogprobs},
    resolve::{AnswerFormat, decoder},
    trace_schema::TraceSchema,
    usage::TokenUsage,
};
use crate::app::{AppState, now_seconds};

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
    /// With `echo` the prompt first.
    text: Cow<'a, str>,
    logprobs: Option<TextLogprobs>,
    /// Absent until the choice ends.
    finish_reason: Option<FinishName>,
}

/// Makes the bodies of one answer, whole or as events of a stream.
pub(super) struct AnswerWriter {
    app: Arc<AppState>,
    format: AnswerFormat,
    id: String,
    created: u64,
    /// The scores of the prompts, as far as there are any.
    prompt_scores: Vec<PromptScore>,
    /// Characters of the prompt and of what was streamed of the choice in progress.
    streamed: usize,
}

impl AnswerWriter {
    pub fn new(app: Arc<AppState>, format: AnswerFormat) -> Self {
        let prefix = if format.chat { "chatcmpl" } else { "cmpl" };
        let id = format!("{prefix}-{}", uuid::Uuid::new_v4().simple());
        Self { app, format, id, created: now_seconds(), prompt_scores: Vec::new(), streamed: 0 }
    }

    /// Takes the log-probabilities of the next prompt, to be echoed.
    pub fn add_prompt_score(&mut self, score: PromptScore) {
        self.prompt_scores.push(score);
    }

    /// The whole answer.
    pub fn complete(&self, outcomes: &[AnswerOutcome]) -> Value {
        let usage = Some(TokenUsage::new(outcomes, self.format.choices));
        let rsd = self.format.trace.then(|| traces(outcomes));
        let outcomes = outcomes.iter().enumerate();
        if self.format.chat {
            let choices = outcomes.map(|(index, outcome)| ChatChoice {
                index,
                message: AssistantMessage { role: "assistant", content: &outcome.text },
                logprobs: self.format.logprobs.then(|| ChatLogprobs::new(self.decoder(), &outcome.logprobs)),
                finish_reason: outcome.finish.into(),
            });
            to_value(&AnswerBody { usage, rsd, ..self.body("chat.completion", choices.collect()) })
        } else {
            let choices = outcomes.map(|(index, outcome)| TextChoice {
                index,
                text: match self.echoed(index) {
                    Some(prompt) => format!("{prompt}{}", outcome.text).into(),
                    None => outcome.text.as_str().into(),
                },
                logprobs: self.format.logprobs.then(|| self.text_logprobs(index, outcome)),
                finish_reason: Some(outcome.finish.into()),
            });
            to_value(&AnswerBody { usage, rsd, ..self.body("text_completion", choices.collect()) })
        }
    }

    /// The first event of a choice; plain completions have one only with `echo`.
    pub fn first_event(&mut self, index: usize) -> Option<Value> {
        self.streamed = self.prompt_characters(index);
        if self.format.chat {
            let delta = ChatDelta { role: Some("assistant"), content: Some("") };
            return Some(self.chat_event(ChatChunk { index, delta, logprobs: None, finish_reason: None }));
        }
        let text = self.echoed(index)?.into();
        let logprobs = self.format.logprobs.then(|| self.prompt_logprobs(index));
        Some(self.text_event(TextChoice { index, text, logprobs, finish_reason: None }))
    }

    /// The event of a step; `None` if the step adds nothing that the client can see.
    pub fn step_event(&mut self, index: usize, progress: &AnswerProgress) -> Option<Value> {
        let has_logprobs = !progress.logprobs.is_empty();
        if progress.text.is_empty() && !has_logprobs {
            return None;
        }
        let text = progress.text.as_str();
        if self.format.chat {
            let logprobs = has_logprobs.then(|| ChatLogprobs::new(self.decoder(), &progress.logprobs));
            let delta = ChatDelta { content: Some(text), ..ChatDelta::default() };
            return Some(self.chat_event(ChatChunk { index, delta, logprobs, finish_reason: None }));
        }
        let logprobs = has_logprobs.then(|| self.streamed_logprobs(&progress.logprobs));
        Some(self.text_event(TextChoice { index, text: text.into(), logprobs, finish_reason: None }))
    }

    /// The last event of a choice.
    pub fn end_event(&mut self, index: usize, outcome: &AnswerOutcome) -> Value {
        let finish_reason = Some(outcome.finish.into());
        if self.format.chat {
            return self.chat_event(ChatChunk { index, delta: ChatDelta::default(), logprobs: None, finish_reason });
        }
        let logprobs = self.echoes_end(outcome).then(|| {
            let mut lists = TextLogprobs::default();
            lists.push_unscored(&[], &mut self.streamed);
            lists
        });
        self.text_event(TextChoice { index, text: "".into(), logprobs, finish_reason })
    }

    /// The last event of a stream, with usage and traces but without a choice; `None` if the client asked for neither.
    pub fn last_event(&self, outcomes: &[AnswerOutcome]) -> Option<Value> {
        let usage = self.format.include_usage.then(|| TokenUsage::new(outcomes, self.format.choices));
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
        decoder(&self.app.rsd, self.format.route)
    }

    fn prompt_of(&self, index: usize) -> usize {
        index / self.format.choices.max(1)
    }

    /// The prompt that a choice begins with.
    fn echoed(&self, index: usize) -> Option<&str> {
        let prompt = self.format.prompts.get(self.prompt_of(index))?;
        self.format.echo.then_some(prompt)
    }

    fn prompt_characters(&self, index: usize) -> usize {
        self.format.prompts.get(self.prompt_of(index)).map_or(0, |prompt| prompt.chars().count())
    }

    fn prompt_logprobs(&self, index: usize) -> TextLogprobs {
        let (mut lists, mut characters) = (TextLogprobs::default(), 0);
        if let Some(score) = self.prompt_scores.get(self.prompt_of(index)) {
            lists.push_unscored(&self.decoder().token_bytes(score.first), &mut characters);
            lists.push_all(self.decoder(), &score.rest, &mut characters);
        }
        lists
    }

    fn text_logprobs(&self, index: usize, outcome: &AnswerOutcome) -> TextLogprobs {
        let mut lists = self.prompt_logprobs(index);
        let mut characters = self.prompt_characters(index);
        lists.push_all(self.decoder(), &outcome.logprobs, &mut characters);
        if self.echoes_end(outcome) {
            lists.push_unscored(&[], &mut characters);
        }
        lists
    }

    fn streamed_logprobs(&mut self, tokens: &[TokenLogprob]) -> TextLogprobs {
        let (mut lists, mut characters) = (TextLogprobs::default(), self.streamed);
        lists.push_all(self.decoder(), tokens, &mut characters);
        self.streamed = characters;
        lists
    }

    /// Whether the lists of an echoed prompt end with the end token. Who scores a prompt asks for one token more and
    /// leaves out the last entry, which must not be the prompt's own when the model ends the text at once.
    fn echoes_end(&self, outcome: &AnswerOutcome) -> bool {
        let ended = outcome.trace.steps.last().is_some_and(|step| step.end == StepEnd::EndOfText);
        self.format.echo && self.format.logprobs && ended
    }
}

/// The types have no map with other keys than strings, so this cannot fail.
fn to_value(body: &impl Serialize) -> Value {
    serde_json::to_value(body).unwrap_or_default()
}

fn traces(outcomes: &[AnswerOutcome]) -> AnswerTraces<'_> {
    AnswerTraces { choices: outcomes.iter().map(|outcome| &outcome.trace).collect() }
}
