//! The requests of the OpenAI API: their fields, and how a body becomes a [`ParsedRequest`].
//!
//! Parsing looks at the body alone; `resolve` applies what the server knows. What RSD cannot do is refused by name
//! rather than ignored.

use std::collections::HashMap;

use rsd_core::{
    pipeline::roles::{ChatMessage, Prompt},
    policy::{AfterRejection, WeightingFunction},
    sampling::Sampling,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::error::{ApiError, ApiErrorCode};
use crate::json_body::FieldError;

/// Fields of [`CommonFields`], [`ChatFields`] and [`CompletionFields`].
const SUPPORTED_FIELDS: [&str; 21] = [
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

/// Fields that clients send and that do not change the answer; they are ignored.
const IGNORED_FIELDS: [&str; 7] =
    ["user", "metadata", "store", "service_tier", "parallel_tool_calls", "safety_identifier", "prompt_cache_key"];

/// Highest value of `top_logprobs`, and of `logprobs` for plain completions.
const MAX_TOP_LOGPROBS: usize = 20;
/// Highest number of stop strings.
const MAX_STOP_STRINGS: usize = 16;
/// Highest number of bytes in one stop string.
const MAX_STOP_BYTES: usize = 256;

/// Fields of both endpoints.
// A body is deserialized as these fields and as the endpoint's own: serde's `flatten` would lose the path of a field
// whose type is wrong.
#[derive(Debug, Deserialize, JsonSchema)]
struct CommonFields {
    /// The model that answers; default: RSD. `GET /v1/models` lists the names.
    model: Option<String>,
    /// Limit on the tokens of the answer. The default, which is also the highest value, is `limits.max_tokens` of the
    /// deployment.
    #[schemars(range(min = 1))]
    max_tokens: Option<usize>,
    /// 0 is greedy; default: 1.
    #[schemars(range(min = 0, max = 2))]
    temperature: Option<f64>,
    /// Samples from the smallest set of tokens with this probability; default: all tokens.
    #[schemars(range(min = 0, max = 1))]
    top_p: Option<f64>,
    /// Samples from this many of the most likely tokens; default: all tokens.
    top_k: Option<usize>,
    /// Excludes tokens that are less likely than this fraction of the most likely one.
    #[schemars(range(min = 0, max = 1))]
    min_p: Option<f64>,
    /// Divides the positive logits of tokens that occurred before, and multiplies the negative ones.
    #[schemars(range(min = 0.01, max = 10))]
    repetition_penalty: Option<f64>,
    /// Subtracted from the logit of a token for each time that it occurred before.
    #[schemars(range(min = -2, max = 2))]
    frequency_penalty: Option<f64>,
    /// Subtracted from the logits of tokens that occurred before.
    #[schemars(range(min = -2, max = 2))]
    presence_penalty: Option<f64>,
    /// Added to the logits of these token ids, from -100 to 100 each.
    logit_bias: Option<HashMap<String, f64>>,
    /// The same seed gives the same answer, but under `after_rejection: auto` the measured speeds also decide; default: the server's `--seed`, else random.
    seed: Option<i64>,
    /// Strings that end the answer before they appear in it: at most 16 of 1 to 256 bytes.
    stop: Option<StopStrings>,
    /// Number of answers, at most `limits.max_choices` of the deployment; default: 1.
    #[schemars(range(min = 1))]
    n: Option<usize>,
    /// Whether to send the answer as server-sent events, one for each step.
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    rsd: Option<RsdOptions>,
}

/// One stop string or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum StopStrings {
    One(String),
    Many(Vec<String>),
}

/// Options of a stream.
#[derive(Debug, Deserialize, JsonSchema)]
struct StreamOptions {
    /// Whether the last event holds `usage`.
    #[serde(default)]
    include_usage: bool,
}

/// What a request changes of the policy, and whether the answer holds its trace.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RsdOptions {
    /// The threshold for this request; default: that of the policy.
    #[schemars(range(min = -1, max = 2))]
    pub delta: Option<f64>,
    /// The weighting function for this request; default: that of the policy.
    pub weighting: Option<WeightingFunction>,
    /// Which model goes on after a rejected step of this request; default: that of the policy.
    pub after_rejection: Option<AfterRejection>,
    /// `false`: the target answers alone. `true`: RSD answers, even if the policy names one model.
    pub enabled: Option<bool>,
    /// Whether the answer holds its trace: every step with its source, its reward and its cost.
    #[serde(default)]
    pub trace: bool,
}

/// Fields of chat completions only.
#[derive(Debug, Deserialize, JsonSchema)]
struct ChatFields {
    #[schemars(length(min = 1))]
    messages: Vec<RequestMessage>,
    /// Overrides `max_tokens`.
    #[schemars(range(min = 1))]
    max_completion_tokens: Option<usize>,
    /// Whether to report log-probabilities. Only a model that answers alone has them.
    logprobs: Option<bool>,
    /// Number of alternatives for each token, with `logprobs`.
    #[schemars(range(max = 20))]
    top_logprobs: Option<usize>,
}

/// Fields of plain completions only.
#[derive(Debug, Deserialize, JsonSchema)]
struct CompletionFields {
    #[schemars(length(min = 1))]
    prompt: String,
    /// Reports log-probabilities, with this number of alternatives for each token. Only a model that answers alone has
    /// them.
    #[schemars(range(max = 20))]
    logprobs: Option<usize>,
}

/// The body of `POST /v1/chat/completions`.
///
/// `user`, `metadata`, `store`, `service_tier`, `parallel_tool_calls`, `safety_identifier` and `prompt_cache_key` are
/// ignored. Any other field is refused, unless its value asks for nothing.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "ChatCompletionRequest")]
pub(super) struct ChatRequest {
    #[schemars(flatten)]
    common: CommonFields,
    #[schemars(flatten)]
    chat: ChatFields,
}

/// The body of `POST /v1/completions`.
///
/// `user`, `metadata`, `store`, `service_tier`, `parallel_tool_calls`, `safety_identifier` and `prompt_cache_key` are
/// ignored. Any other field is refused, unless its value asks for nothing.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "TextCompletionRequest")]
pub(super) struct CompletionRequest {
    #[schemars(flatten)]
    common: CommonFields,
    #[schemars(flatten)]
    completion: CompletionFields,
}

/// A message of a chat.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ChatMessage")]
struct RequestMessage {
    /// `system`, `developer` (the same as `system`), `user` or `assistant`.
    role: String,
    content: Option<MessageContent>,
    #[schemars(skip)]
    tool_calls: Option<Value>,
    #[schemars(skip)]
    tool_call_id: Option<Value>,
    #[schemars(skip)]
    function_call: Option<Value>,
    #[schemars(skip)]
    audio: Option<Value>,
}

/// A message's content: text, or parts of type `text`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum MessageContent {
    Text(String),
    Parts(Vec<ContentPart>),
}

/// A part of a message.
#[derive(Debug, Deserialize, JsonSchema)]
struct ContentPart {
    /// `text`.
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
}

/// A request whose fields are valid by themselves.
#[derive(Debug)]
pub(super) struct ParsedRequest {
    pub model: Option<String>,
    pub prompt: Prompt,
    /// All but the seed.
    pub sampling: Sampling,
    pub seed: Option<u64>,
    pub max_tokens: Option<usize>,
    pub stop: Vec<String>,
    pub rsd: RsdOptions,
    /// Number of alternatives for each token; `None` without log-probabilities.
    pub logprobs: Option<usize>,
    pub choices: Option<usize>,
    pub stream: bool,
    pub include_usage: bool,
}

impl ParsedRequest {
    /// Parses the body of a chat completion.
    pub fn chat(body: &Value) -> Result<Self, ApiError> {
        let body = &without_nulls(body);
        let mut request = ChatRequest { chat: fields(body)?, common: fields(body)? };
        refuse_unsupported(body)?;
        let ChatFields { messages, max_completion_tokens, logprobs, top_logprobs } = request.chat;
        request.common.max_tokens = max_completion_tokens.or(request.common.max_tokens);
        if messages.is_empty() {
            let message = "messages: at least one message is needed";
            return Err(ApiError::invalid(ApiErrorCode::EmptyMessages, "messages", message));
        }
        let messages = messages.into_iter().enumerate().map(|(index, message)| message.parse(index));
        let prompt = Prompt::Chat(messages.collect::<Result<_, _>>()?);
        let logprobs = match (logprobs.unwrap_or(false), top_logprobs) {
            (true, top) => Some(top.unwrap_or(0)),
            (false, None | Some(0)) => None,
            (false, Some(_)) => return Err(invalid_value("top_logprobs", "top_logprobs: needs `logprobs: true`")),
        };
        Self::new(request.common, prompt, logprobs, "top_logprobs")
    }

    /// Parses the body of a plain completion.
    pub fn completion(body: &Value) -> Result<Self, ApiError> {
        let body = &without_nulls(body);
        let request = CompletionRequest { completion: fields(body)?, common: fields(body)? };
        refuse_unsupported(body)?;
        let CompletionFields { prompt, logprobs } = request.completion;
        if prompt.is_empty() {
            let message = "prompt: it must not be empty";
            return Err(ApiError::invalid(ApiErrorCode::EmptyPrompt, "prompt", message));
        }
        Self::new(request.common, Prompt::Text(prompt), logprobs, "logprobs")
    }

    /// `top` is the field that holds the number of alternatives.
    fn new(common: CommonFields, prompt: Prompt, logprobs: Option<usize>, top: &str) -> Result<Self, ApiError> {
        if logprobs.is_some_and(|number| number > MAX_TOP_LOGPROBS) {
            return Err(invalid_value(top, format!("{top}: at most {MAX_TOP_LOGPROBS}")));
        }
        Ok(Self {
            sampling: sampling(&common)?,
            // OpenAI's seeds are signed. Which unsigned number a negative one becomes does not matter.
            seed: common.seed.map(i64::cast_unsigned),
            stop: stop_strings(common.stop)?,
            model: common.model,
            prompt,
            max_tokens: common.max_tokens,
            rsd: common.rsd.unwrap_or_default(),
            logprobs,
            choices: common.n,
            stream: common.stream,
            include_usage: common.stream_options.is_some_and(|options| options.include_usage),
        })
    }
}

impl RequestMessage {
    fn parse(self, index: usize) -> Result<ChatMessage, ApiError> {
        let path = |field: &str| format!("messages[{index}].{field}");
        if !["system", "developer", "user", "assistant"].contains(&self.role.as_str()) {
            let path = path("role");
            let message = format!("{path}: expected system, developer, user or assistant, found `{}`", self.role);
            return Err(invalid_value(path, message));
        }
        for (field, value) in [
            ("tool_calls", &self.tool_calls),
            ("tool_call_id", &self.tool_call_id),
            ("function_call", &self.function_call),
            ("audio", &self.audio),
        ] {
            if value.as_ref().is_some_and(|value| !is_empty(value)) {
                return Err(unsupported(&path(field)));
            }
        }
        let content = match self.content {
            None => return Err(invalid_value(path("content"), format!("{}: text is needed", path("content")))),
            Some(MessageContent::Text(text)) => text,
            Some(MessageContent::Parts(parts)) => {
                let texts = parts.into_iter().map(|part| {
                    if let ("text", Some(text)) = (part.kind.as_str(), part.text) {
                        return Ok(text);
                    }
                    let path = path("content");
                    let message = format!("{path}: only parts of type `text` are supported, found `{}`", part.kind);
                    Err(ApiError::invalid(ApiErrorCode::UnsupportedParameter, path, message))
                });
                texts.collect::<Result<String, _>>()?
            }
        };
        let role = if self.role == "developer" { "system".to_owned() } else { self.role };
        Ok(ChatMessage { role, content })
    }
}

/// The body without its null fields, which all mean that the field was not given.
fn without_nulls(body: &Value) -> Value {
    match body {
        Value::Object(fields) => {
            let given = fields.iter().filter(|(_, value)| !value.is_null());
            given.map(|(field, value)| (field.clone(), without_nulls(value))).collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// Deserializes a body's fields; the error names the path of a wrong one.
fn fields<'a, T: Deserialize<'a>>(body: &'a Value) -> Result<T, ApiError> {
    if !body.is_object() {
        return Err(ApiError::new(ApiErrorCode::InvalidJson, "the body must be a JSON object"));
    }
    serde_path_to_error::deserialize(body).map_err(|error| FieldError::from(error).into())
}

/// Refuses fields that the server does not know, unless their value asks for nothing.
fn refuse_unsupported(body: &Value) -> Result<(), ApiError> {
    for (field, value) in body.as_object().into_iter().flatten() {
        let asks_for_nothing = is_empty(value)
            || (field == "tool_choice" && value == "none")
            || (field == "response_format" && value.get("type").is_some_and(|kind| kind == "text"))
            || value == ""
            || (field == "best_of" && value == 1)
            || (["echo", "truncate_sequence"].contains(&field.as_str()) && value == false);
        let known = SUPPORTED_FIELDS.contains(&field.as_str()) || IGNORED_FIELDS.contains(&field.as_str());
        if !known && !asks_for_nothing {
            return Err(unsupported(field));
        }
    }
    Ok(())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

#[allow(clippy::cast_possible_truncation)]
fn sampling(common: &CommonFields) -> Result<Sampling, ApiError> {
    let check = |param: &str, value: Option<f64>, low: f64, high: f64| -> Result<Option<f32>, ApiError> {
        value.map(|value| check_range(param, value, low, high).map(|()| value as f32)).transpose()
    };
    let mut logit_bias = HashMap::new();
    for (token, bias) in common.logit_bias.iter().flatten() {
        let id = token
            .parse()
            .map_err(|_| invalid_value("logit_bias", format!("logit_bias: `{token}` is not a token id")))?;
        check_range("logit_bias", *bias, -100.0, 100.0)?;
        logit_bias.insert(id, *bias as f32);
    }
    Ok(Sampling {
        temperature: check("temperature", common.temperature, 0.0, 2.0)?.unwrap_or(1.0),
        top_k: common.top_k,
        top_p: check("top_p", common.top_p, 0.0, 1.0)?,
        min_p: check("min_p", common.min_p, 0.0, 1.0)?,
        repetition_penalty: check("repetition_penalty", common.repetition_penalty, 0.01, 10.0)?,
        frequency_penalty: check("frequency_penalty", common.frequency_penalty, -2.0, 2.0)?,
        presence_penalty: check("presence_penalty", common.presence_penalty, -2.0, 2.0)?,
        logit_bias,
        ..Sampling::default()
    })
}

fn stop_strings(stop: Option<StopStrings>) -> Result<Vec<String>, ApiError> {
    let stop = match stop {
        None => Vec::new(),
        Some(StopStrings::One(one)) => vec![one],
        Some(StopStrings::Many(many)) => many,
    };
    if stop.len() > MAX_STOP_STRINGS || stop.iter().any(|text| text.is_empty() || text.len() > MAX_STOP_BYTES) {
        let message = format!("stop: at most {MAX_STOP_STRINGS} strings of 1 to {MAX_STOP_BYTES} bytes");
        return Err(invalid_value("stop", message));
    }
    Ok(stop)
}

/// Checks that a number lies in a range.
pub(super) fn check_range(param: &str, value: f64, low: f64, high: f64) -> Result<(), ApiError> {
    if value.is_finite() && (low..=high).contains(&value) {
        return Ok(());
    }
    Err(invalid_value(param, format!("{param}: expected {low} to {high}, found {value}")))
}

pub(super) fn invalid_value(param: impl Into<String>, message: impl Into<String>) -> ApiError {
    ApiError::invalid(ApiErrorCode::InvalidValue, param, message)
}

fn unsupported(field: &str) -> ApiError {
    let message = format!("{field}: not supported with RSD; leave it out");
    ApiError::invalid(ApiErrorCode::UnsupportedParameter, field, message)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn the_supported_fields_are_those_of_the_types() {
        let mut fields = BTreeSet::new();
        for schema in [schemars::schema_for!(ChatRequest), schemars::schema_for!(CompletionRequest)] {
            fields.extend(schema.get("properties").unwrap().as_object().unwrap().keys().cloned());
        }
        assert_eq!(fields, SUPPORTED_FIELDS.map(ToOwned::to_owned).into());
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named_with_its_path() {
        let user = json!({"role": "user", "content": "hi"});
        for (body, path) in [
            (json!({"messages": 3}), "messages"),
            (json!({"messages": [user, {"role": 3, "content": "hi"}]}), "messages[1].role"),
            (json!({"messages": [user], "rsd": {"weighting": "cubic"}}), "rsd.weighting"),
            (json!({"messages": [user], "stream_options": {"include_usage": 1}}), "stream_options.include_usage"),
        ] {
            let error = ParsedRequest::chat(&body).unwrap_err().body();
            assert_eq!(
                (error["error"]["param"].as_str(), &error["error"]["code"]),
                (Some(path), &json!("invalid_type"))
            );
        }
    }
}
