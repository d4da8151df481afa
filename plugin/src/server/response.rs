//! The answers' JSON, in OpenAI's shapes.

use serde::Serialize;
use serde_json::{Value, json};

use super::parse::Job;
use crate::pipeline::{
    Finish, Outcome,
    roles::{Generator, TokenLogprob},
    trace::Trace,
};

/// Token counts, by OpenAI's names.
#[allow(clippy::struct_field_names)]
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Usage {
    pub prompt_tokens: usize,
    pub completion_tokens: usize,
    pub total_tokens: usize,
}

impl Usage {
    /// Of all choices together; the prompt counts once.
    pub(super) fn of(outcomes: &[Outcome]) -> Self {
        let prompt_tokens = outcomes.first().map_or(0, |outcome| outcome.prompt_tokens);
        let completion_tokens = outcomes.iter().map(|outcome| outcome.completion_tokens).sum();
        Self { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
    }
}

/// What all messages of one answer share.
#[derive(Debug, Clone)]
pub(super) struct Envelope {
    pub id: String,
    pub created: u64,
    pub model: String,
    pub chat: bool,
}

impl Envelope {
    pub(super) fn new(job: &Job) -> Self {
        let kind = if job.chat { "chatcmpl" } else { "cmpl" };
        Self {
            id: format!("{kind}-{}", uuid::Uuid::new_v4().simple()),
            created: std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs()),
            model: job.model.clone(),
            chat: job.chat,
        }
    }

    fn wrap(&self, object: &str, choices: &Value) -> Value {
        json!({"id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices})
    }

    /// A whole answer.
    pub(super) fn complete(&self, outcomes: &[Outcome], logprobs: Vec<Option<Value>>, trace: bool) -> Value {
        let choices: Vec<Value> = outcomes
            .iter()
            .zip(logprobs)
            .enumerate()
            .map(|(index, (outcome, logprobs))| {
                let finish = finish_reason(outcome.finish);
                if self.chat {
                    let message = json!({"role": "assistant", "content": outcome.text});
                    json!({"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish})
                } else {
                    json!({"index": index, "text": outcome.text, "logprobs": logprobs, "finish_reason": finish})
                }
            })
            .collect();
        let object = if self.chat { "chat.completion" } else { "text_completion" };
        let mut answer = self.wrap(object, &Value::Array(choices));
        answer["usage"] = json!(Usage::of(outcomes));
        if trace {
            answer["rsd"] = traces(outcomes.iter().map(|outcome| &outcome.trace));
        }
        answer
    }

    /// One piece of a stream.
    pub(super) fn chunk(&self, index: usize, delta: &Delta, finish: Option<Finish>, logprobs: Option<&Value>) -> Value {
        let finish = finish.map(finish_reason);
        let choice = if self.chat {
            let delta = match delta {
                Delta::Begin => json!({"role": "assistant", "content": ""}),
                Delta::Text(text) => json!({"content": text}),
                Delta::End => json!({}),
            };
            json!({"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish})
        } else {
            let text = if let Delta::Text(text) = delta { text } else { "" };
            json!({"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish})
        };
        self.wrap(self.object(), &json!([choice]))
    }

    /// The last piece: usage and traces, without a choice.
    pub(super) fn last(&self, usage: Option<Usage>, trace: Option<Value>) -> Value {
        let mut chunk = self.wrap(self.object(), &json!([]));
        if let Some(usage) = usage {
            chunk["usage"] = json!(usage);
        }
        if let Some(trace) = trace {
            chunk["rsd"] = trace;
        }
        chunk
    }

    fn object(&self) -> &'static str {
        if self.chat { "chat.completion.chunk" } else { "text_completion" }
    }
}

/// What a piece of a stream adds.
#[derive(Debug)]
pub(super) enum Delta {
    Begin,
    Text(String),
    End,
}

/// The traces of all choices; one alone stands by itself.
pub(super) fn traces<'a>(traces: impl Iterator<Item = &'a Trace>) -> Value {
    json!({"choices": traces.map(|trace| json!(trace)).collect::<Vec<_>>()})
}

fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
    }
}

/// Log-probabilities in the shape of the endpoint.
pub(super) fn logprobs(chat: bool, model: &dyn Generator, tokens: &[TokenLogprob]) -> Value {
    let text = |id: u32| String::from_utf8_lossy(&model.token_bytes(id)).into_owned();
    if chat {
        let entry =
            |id: u32, logprob: f32| json!({"token": text(id), "logprob": logprob, "bytes": model.token_bytes(id)});
        let content: Vec<Value> = tokens
            .iter()
            .map(|token| {
                let mut shown = entry(token.id, token.logprob);
                shown["top_logprobs"] = token.top.iter().map(|(id, logprob)| entry(*id, *logprob)).collect();
                shown
            })
            .collect();
        return json!({"content": content});
    }
    let top = |token: &TokenLogprob| -> Value {
        token.top.iter().map(|(id, logprob)| (text(*id), json!(logprob))).collect::<serde_json::Map<_, _>>().into()
    };
    json!({
        "tokens": tokens.iter().map(|token| text(token.id)).collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(|token| token.logprob).collect::<Vec<_>>(),
        "top_logprobs": tokens.iter().map(top).collect::<Vec<_>>(),
    })
}
