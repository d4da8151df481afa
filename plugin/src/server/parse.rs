//! From a request's bytes to a [`Job`], or to an error that names the field.

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    app::App,
    error::ApiError,
    request::{ChatBody, ChatMessage, Common, CompletionBody, Content, RsdOptions, Stop},
};
use crate::{
    pipeline::{
        Overrides,
        roles::{Message, Prompt},
    },
    policy::{Answers, Policy},
    sampling::Sampling,
};

/// Fields the two bodies and [`Common`] take.
const TAKEN: [&str; 21] = [
    "model",
    "messages",
    "prompt",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "seed",
    "stop",
    "n",
    "stream",
    "stream_options",
    "rsd",
    "logprobs",
    "top_logprobs",
];

/// Fields clients send that change nothing about the answer.
const HARMLESS: [&str; 7] =
    ["user", "metadata", "store", "service_tier", "parallel_tool_calls", "safety_identifier", "prompt_cache_key"];

/// Most log-probabilities per token.
const TOP_LOGPROBS: usize = 20;

/// Most stop strings, and bytes in one.
const STOPS: (usize, usize) = (16, 256);

/// A checked request.
#[derive(Debug, Clone)]
// Each of them is a switch of the API and independent of the others.
#[allow(clippy::struct_excessive_bools)]
pub(super) struct Job {
    pub model: String,
    pub prompt: Prompt,
    pub sampling: Sampling,
    pub max_tokens: usize,
    pub stop: Vec<String>,
    pub overrides: Overrides,
    pub logprobs: Option<usize>,
    pub choices: usize,
    pub stream: bool,
    pub include_usage: bool,
    pub trace: bool,
    pub chat: bool,
}

/// Reads a body as JSON.
fn body(headers: &HeaderMap, bytes: &Bytes) -> Result<Value, ApiError> {
    let json = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    if !json {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "send the header `Content-Type: application/json`",
        ));
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", format!("the body is not valid JSON: {error}"))
    })?;
    if !value.is_object() {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", "the body must be a JSON object"));
    }
    Ok(value)
}

/// Reads fields; a wrong type is named with its path.
fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(value.clone()).map_err(|error| {
        let path = error.path().to_string();
        let message = format!("{path}: {}", error.inner());
        let unknown = path.starts_with("rsd") && message.contains("unknown field");
        ApiError::invalid(if unknown { "unknown_parameter" } else { "invalid_type" }, path, message)
    })
}

impl Job {
    pub(super) fn chat(app: &App, headers: &HeaderMap, bytes: &Bytes) -> Result<Self, ApiError> {
        let value = body(headers, bytes)?;
        let request: ChatBody = typed(&value)?;
        let mut common: Common = typed(&value)?;
        common.max_tokens = request.max_completion_tokens.or(common.max_tokens);
        refuse_others(&value)?;
        if request.messages.is_empty() {
            return Err(ApiError::invalid("empty_messages", "messages", "messages: at least one message is needed"));
        }
        let messages = request.messages.iter().enumerate().map(|(i, m)| message(i, m)).collect::<Result<_, _>>()?;
        let logprobs = match (request.logprobs.unwrap_or(false), request.top_logprobs) {
            (true, top) => Some(top.unwrap_or(0)),
            (false, None | Some(0)) => None,
            (false, Some(_)) => {
                return Err(ApiError::invalid("invalid_value", "top_logprobs", "top_logprobs: needs `logprobs: true`"));
            }
        };
        Self::new(app, common, Prompt::Chat(messages), logprobs)
    }

    pub(super) fn completion(app: &App, headers: &HeaderMap, bytes: &Bytes) -> Result<Self, ApiError> {
        let value = body(headers, bytes)?;
        let request: CompletionBody = typed(&value)?;
        let common: Common = typed(&value)?;
        refuse_others(&value)?;
        if request.prompt.is_empty() {
            return Err(ApiError::invalid("empty_prompt", "prompt", "prompt: some text is needed"));
        }
        Self::new(app, common, Prompt::Text(request.prompt), request.logprobs)
    }

    /// What the request log keeps of it.
    pub(super) fn logged(&self) -> Value {
        let prompt = match &self.prompt {
            Prompt::Text(text) => Value::String(text.clone()),
            Prompt::Chat(messages) => {
                messages.iter().map(|m| serde_json::json!({"role": m.role, "content": m.content})).collect()
            }
        };
        serde_json::json!({"model": self.model, "prompt": prompt, "max_tokens": self.max_tokens, "seed": self.sampling.seed})
    }

    fn new(app: &App, common: Common, prompt: Prompt, logprobs: Option<usize>) -> Result<Self, ApiError> {
        let model = common.model.clone().unwrap_or_else(|| app.names.rsd.clone());
        let snapshot = app.rsd.policy.current();
        let answers = app.names.answers(&model, &snapshot.live).ok_or_else(|| {
            ApiError::new(
                StatusCode::NOT_FOUND,
                "model_not_found",
                format!(
                    "model: there is no `{model}`; this server answers as {}",
                    app.names.all(&snapshot.live).join(", ")
                ),
            )
        })?;
        let options = common.rsd.as_ref();
        let policy = snapshot.policy(Some(&model));
        let overrides = overrides(policy, options, answers)?;
        let alone = overrides.apply(policy).values.answers != Answers::Rsd;
        if logprobs.is_some() && !alone {
            return Err(ApiError::invalid(
                "logprobs_unsupported",
                "logprobs",
                "logprobs: under RSD the tokens come from two models, so their probabilities cannot be compared; \
                 ask model `draft` or `target`",
            ));
        }
        if logprobs.is_some_and(|top| top > TOP_LOGPROBS) {
            return Err(ApiError::invalid(
                "invalid_value",
                "top_logprobs",
                format!("top_logprobs: at most {TOP_LOGPROBS}"),
            ));
        }
        let limit = snapshot.live.limits.max_tokens;
        let max_tokens = common.max_tokens.unwrap_or(limit);
        within("max_tokens", max_tokens as f64, 1.0, limit as f64)?;
        let chat = matches!(prompt, Prompt::Chat(_));
        let choices = common.n.unwrap_or(1);
        within("n", choices as f64, 1.0, app.limits.max_choices as f64)?;
        Ok(Self {
            sampling: sampling(app, &common)?,
            stop: stop(common.stop)?,
            model,
            prompt,
            max_tokens,
            overrides,
            logprobs,
            choices,
            stream: common.stream,
            include_usage: common.stream_options.is_some_and(|options| options.include_usage),
            trace: options.is_some_and(|options| options.trace),
            chat,
        })
    }
}

fn within(param: &str, value: f64, low: f64, high: f64) -> Result<(), ApiError> {
    if value.is_finite() && (low..=high).contains(&value) {
        return Ok(());
    }
    Err(ApiError::invalid("invalid_value", param, format!("{param}: expected {low} to {high}, found {value}")))
}

fn overrides(policy: Policy, options: Option<&RsdOptions>, answers: Option<Answers>) -> Result<Overrides, ApiError> {
    let Some(options) = options else {
        return Ok(Overrides { answers, ..Overrides::default() });
    };
    let switched_off = (options.enabled == Some(false)).then_some(Answers::Target);
    let switched_on = (options.enabled == Some(true)).then_some(Answers::Rsd);
    let overrides = Overrides {
        delta: options.delta,
        weighting: options.weighting,
        // `draft` and `target` are asked for by name and stay what they are.
        answers: answers.or(switched_off).or(switched_on),
    };
    overrides.apply(policy).values.validate().map_err(|error| {
        ApiError::invalid(
            "invalid_value",
            format!("rsd.{}", error.field),
            format!("rsd.{}: expected {}, found {}", error.field, error.expected, error.found),
        )
    })?;
    Ok(overrides)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn sampling(app: &App, common: &Common) -> Result<Sampling, ApiError> {
    let check = |param: &str, value: Option<f64>, low: f64, high: f64| -> Result<Option<f32>, ApiError> {
        value.map(|value| within(param, value, low, high).map(|()| value as f32)).transpose()
    };
    let mut logit_bias = std::collections::HashMap::new();
    for (token, bias) in common.logit_bias.iter().flatten() {
        let id = token.parse().map_err(|_| {
            ApiError::invalid("invalid_value", "logit_bias", format!("logit_bias: `{token}` is not a token id"))
        })?;
        within("logit_bias", *bias, -100.0, 100.0)?;
        logit_bias.insert(id, *bias as f32);
    }
    Ok(Sampling {
        temperature: check("temperature", common.temperature, 0.0, 2.0)?.unwrap_or(1.0),
        top_k: common.top_k,
        top_p: check("top_p", common.top_p, f64::MIN_POSITIVE, 1.0)?,
        min_p: check("min_p", common.min_p, 0.0, 1.0)?,
        repetition_penalty: check("repetition_penalty", common.repetition_penalty, 0.01, 10.0)?,
        frequency_penalty: check("frequency_penalty", common.frequency_penalty, -2.0, 2.0)?,
        presence_penalty: check("presence_penalty", common.presence_penalty, -2.0, 2.0)?,
        logit_bias,
        // OpenAI's seeds are signed; only that the same one repeats matters.
        seed: common.seed.map(|seed| seed as u64).or(app.seed).unwrap_or_else(rand::random),
    })
}

fn stop(stop: Option<Stop>) -> Result<Vec<String>, ApiError> {
    let stop = match stop {
        None => Vec::new(),
        Some(Stop::One(one)) => vec![one],
        Some(Stop::Many(many)) => many,
    };
    let (count, bytes) = STOPS;
    if stop.len() > count || stop.iter().any(|s| s.is_empty() || s.len() > bytes) {
        return Err(ApiError::invalid(
            "invalid_value",
            "stop",
            format!("stop: at most {count} strings of 1 to {bytes} bytes"),
        ));
    }
    Ok(stop)
}

fn message(index: usize, message: &ChatMessage) -> Result<Message, ApiError> {
    let at = |field: &str| format!("messages[{index}].{field}");
    if !["system", "developer", "user", "assistant"].contains(&message.role.as_str()) {
        return Err(ApiError::invalid(
            "invalid_value",
            at("role"),
            format!("{}: expected system, developer, user or assistant, found `{}`", at("role"), message.role),
        ));
    }
    for field in ["tool_calls", "tool_call_id", "function_call", "audio"] {
        if message.others.get(field).is_some_and(|value| !is_empty(value)) {
            return Err(unsupported(&at(field)));
        }
    }
    let content = match &message.content {
        None => {
            return Err(ApiError::invalid(
                "invalid_value",
                at("content"),
                format!("{}: text is needed", at("content")),
            ));
        }
        Some(Content::Text(text)) => text.clone(),
        Some(Content::Parts(parts)) => {
            let mut text = String::new();
            for part in parts {
                match (&part.kind[..], &part.text) {
                    ("text", Some(part)) => text.push_str(part),
                    _ => {
                        return Err(ApiError::invalid(
                            "unsupported_parameter",
                            at("content"),
                            format!("{}: only parts of type `text` are taken, found `{}`", at("content"), part.kind),
                        ));
                    }
                }
            }
            text
        }
    };
    let role = if message.role == "developer" { "system" } else { &message.role };
    Ok(Message { role: role.to_owned(), content })
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

fn unsupported(field: &str) -> ApiError {
    ApiError::invalid("unsupported_parameter", field, format!("{field}: not supported with RSD; leave it out"))
}

/// Refuses fields that are neither taken, nor harmless, nor set to a value that asks for nothing.
fn refuse_others(body: &Value) -> Result<(), ApiError> {
    for (field, value) in body.as_object().into_iter().flatten() {
        let asks_nothing = is_empty(value)
            || (field == "tool_choice" && value == "none")
            || (field == "response_format" && value.get("type").is_some_and(|kind| kind == "text"))
            || (["echo", "truncate_sequence"].contains(&field.as_str()) && value == false);
        if !(asks_nothing || TAKEN.contains(&field.as_str()) || HARMLESS.contains(&field.as_str())) {
            return Err(unsupported(field));
        }
    }
    Ok(())
}
