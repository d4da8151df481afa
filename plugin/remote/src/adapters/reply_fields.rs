//! Fields of replies, and of requests, that several engines have.

use std::collections::HashMap;

use rsd_core::{pipeline::roles::TokenLogprob, sampling::Sampling};
use serde_json::{Map, Value, json};

use super::{CompletionPrefix, PromptUse, ReplyError};
use crate::transport::EngineRequest;

/// The sampling parameters as OpenAI's API names them, with the names that engines have added. None is left out, because
/// an engine fills gaps with defaults of its own.
pub(super) fn sampling_fields(sampling: &Sampling) -> Map<String, Value> {
    let fields = json!({
        "temperature": sampling.temperature,
        "top_p": sampling.top_p.unwrap_or(1.0),
        "min_p": sampling.min_p.unwrap_or(0.0),
        "repetition_penalty": sampling.repetition_penalty.unwrap_or(1.0),
        "presence_penalty": sampling.presence_penalty.unwrap_or(0.0),
        "frequency_penalty": sampling.frequency_penalty.unwrap_or(0.0),
    });
    let mut fields = match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    // -1 is the whole vocabulary.
    fields.insert("top_k".to_owned(), sampling.top_k.map_or(json!(-1), |top_k| json!(top_k)));
    if let Some(bias) = logit_bias(&sampling.logit_bias) {
        fields.insert("logit_bias".to_owned(), bias);
    }
    fields
}

/// Token ids as text, as JSON needs them for keys.
pub(super) fn logit_bias(bias: &HashMap<u32, f32>) -> Option<Value> {
    let entries: Map<_, _> = bias.iter().map(|(id, bias)| (id.to_string(), json!(bias))).collect();
    (!entries.is_empty()).then_some(Value::Object(entries))
}

pub(super) fn prefix(prefix: CompletionPrefix<'_>) -> Value {
    match prefix {
        CompletionPrefix::Ids(ids) => json!(ids),
        CompletionPrefix::Text(text) => json!(text),
    }
}

pub(super) fn post(path: &'static str, body: Value) -> EngineRequest {
    EngineRequest { body: Some(body), path, headers: Vec::new() }
}

pub(super) fn get(path: &'static str) -> EngineRequest {
    EngineRequest { body: None, path, headers: Vec::new() }
}

pub(super) fn messages(messages: &[(&str, &str)]) -> Value {
    messages.iter().map(|(role, content)| json!({"role": role, "content": content})).collect()
}

/// A list of token ids.
pub(super) fn ids(value: &Value, name: &'static str) -> Result<Vec<u32>, ReplyError> {
    let list = value.as_array().ok_or(ReplyError::Unexpected(name))?;
    list.iter().map(|id| token_id(id).ok_or(ReplyError::Unexpected(name))).collect()
}

pub(super) fn token_id(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

pub(super) fn count(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

/// A log-probability. Engines write one of zero probability as null or as a very low number.
pub(super) fn logprob(value: &Value) -> f32 {
    #[allow(clippy::cast_possible_truncation, reason = "engines compute it in f32")]
    value.as_f64().map_or(f32::NEG_INFINITY, |logprob| logprob as f32)
}

/// A token with its alternatives, best first.
pub(super) fn token_logprob(id: u32, logprob: f32, mut top: Vec<(u32, f32)>) -> TokenLogprob {
    top.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    TokenLogprob { id, logprob, top }
}

/// A row of numbers. `None` if one of them is none, as engines write NaN.
pub(super) fn row(value: &Value) -> Option<Vec<f32>> {
    #[allow(clippy::cast_possible_truncation, reason = "engines compute it in f32")]
    value.as_array()?.iter().map(|number| number.as_f64().map(|number| number as f32)).collect()
}

/// The log-probability of each label, by a function that finds it.
pub(super) fn label_row(labels: &[u32], find: impl Fn(usize, u32) -> Option<f32>) -> Vec<Vec<f32>> {
    vec![labels.iter().enumerate().map(|(index, id)| find(index, *id).unwrap_or(f32::NEG_INFINITY)).collect()]
}

/// `usage` as OpenAI's API has it.
pub(super) fn usage(reply: &Value) -> Option<PromptUse> {
    let usage = reply.get("usage").filter(|usage| usage.is_object())?;
    let cached = count(&usage["prompt_tokens_details"]["cached_tokens"]);
    Some(PromptUse { prompt: count(&usage["prompt_tokens"])?, cached })
}

/// The names in `/v1/models`. `context` finds the context of a model in its entry.
pub(super) fn models(
    reply: &Value,
    context: impl Fn(&Value) -> Option<usize>,
) -> Result<Vec<(String, Option<usize>)>, ReplyError> {
    let data = reply["data"].as_array().ok_or(ReplyError::Unexpected("data"))?;
    let entry = |model: &Value| {
        let name = model["id"].as_str().ok_or(ReplyError::Unexpected("id"))?;
        Ok((name.to_owned(), context(model)))
    };
    data.iter().map(entry).collect()
}
