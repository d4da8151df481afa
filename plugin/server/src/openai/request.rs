//! Parses the bodies of the OpenAI API into a [`ParsedRequest`].
//!
//! Parsing looks at the body alone; `resolve` applies what the server knows. What RSD cannot do is refused by name
//! rather than ignored.

use std::collections::HashMap;

use rsd_core::{
    pipeline::roles::{ChatMessage, Generator, Prompt, TokenPrompt},
    sampling::Sampling,
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    body_fields::{
        ChatFields, ChatRequest, CommonFields, CompletionFields, CompletionRequest, PromptField, RsdOptions,
        StopStrings,
    },
    error::{ApiError, ApiErrorCode},
    field_lists::{self, EndpointFields},
};
use crate::json_body::FieldError;

/// Highest value of `top_logprobs`, and of `logprobs` for plain completions.
const MAX_TOP_LOGPROBS: usize = 20;
/// Highest number of stop strings.
const MAX_STOP_STRINGS: usize = 16;
/// Highest number of bytes in one stop string.
const MAX_STOP_BYTES: usize = 256;
/// Highest number of prompts in one request. `LangChain` sends 20 at once.
const MAX_PROMPTS: usize = 32;

/// What to continue. Token ids have no vocabulary until the model is known.
#[derive(Debug, PartialEq)]
pub(super) enum RequestPrompt {
    Chat(Vec<ChatMessage>),
    Text(String),
    Ids(Vec<u32>),
}

impl RequestPrompt {
    /// The prompt for the models; token ids are those of `model`.
    pub fn resolve(self, model: &dyn Generator) -> Prompt {
        match self {
            Self::Chat(messages) => Prompt::Chat(messages),
            Self::Text(text) => Prompt::Text(text),
            Self::Ids(ids) => Prompt::Tokens(TokenPrompt::new(model, ids)),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Chat(messages) => messages.is_empty(),
            Self::Text(text) => text.is_empty(),
            Self::Ids(ids) => ids.is_empty(),
        }
    }
}

/// A request whose fields are valid by themselves.
#[derive(Debug)]
pub(super) struct ParsedRequest {
    pub model: Option<String>,
    /// At least one.
    pub prompts: Vec<RequestPrompt>,
    /// Whether each choice begins with its prompt.
    pub echo: bool,
    /// All but the seed.
    pub sampling: Sampling,
    pub seed: Option<u64>,
    /// 0 only with `echo`.
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
        let body = &given_fields(body, &field_lists::CHAT)?;
        let ChatRequest { chat, mut common } = ChatRequest { chat: fields(body)?, common: fields(body)? };
        let ChatFields { messages, max_completion_tokens, logprobs, top_logprobs } = chat;
        check_max_tokens("max_completion_tokens", max_completion_tokens, 1)?;
        check_max_tokens("max_tokens", common.max_tokens, 1)?;
        common.max_tokens = max_completion_tokens.or(common.max_tokens);
        if messages.is_empty() {
            let message = "messages: at least one message is needed";
            return Err(ApiError::invalid(ApiErrorCode::EmptyMessages, "messages", message));
        }
        let messages = messages.into_iter().enumerate().map(|(index, message)| message.parse(index));
        let prompt = RequestPrompt::Chat(messages.collect::<Result<_, _>>()?);
        let logprobs = match (logprobs.unwrap_or(false), top_logprobs) {
            (true, top) => Some(top.unwrap_or(0)),
            (false, None | Some(0)) => None,
            (false, Some(_)) => return Err(invalid_value("top_logprobs", "top_logprobs: needs `logprobs: true`")),
        };
        Self::new(common, vec![prompt], logprobs, "top_logprobs")
    }

    /// Parses the body of a plain completion.
    pub fn completion(body: &Value) -> Result<Self, ApiError> {
        let body = &given_fields(body, &field_lists::COMPLETIONS)?;
        let request = CompletionRequest { completion: fields(body)?, common: fields(body)? };
        let CompletionRequest { completion: CompletionFields { prompt, logprobs, echo, best_of }, common } = request;
        if best_of.is_some_and(|best_of| best_of != common.n.unwrap_or(1)) {
            return Err(field_lists::unsupported("best_of", "best_of"));
        }
        check_max_tokens("max_tokens", common.max_tokens, usize::from(!echo))?;
        Ok(Self { echo, ..Self::new(common, prompts(prompt)?, logprobs, "logprobs")? })
    }

    /// `top` is the field that holds the number of alternatives.
    fn new(
        common: CommonFields,
        prompts: Vec<RequestPrompt>,
        logprobs: Option<usize>,
        top: &str,
    ) -> Result<Self, ApiError> {
        if logprobs.is_some_and(|number| number > MAX_TOP_LOGPROBS) {
            return Err(invalid_value(top, format!("{top}: at most {MAX_TOP_LOGPROBS}")));
        }
        Ok(Self {
            sampling: sampling(&common)?,
            // OpenAI's seeds are signed. Which unsigned number a negative one becomes does not matter.
            seed: common.seed.map(i64::cast_unsigned),
            stop: stop_strings(common.stop)?,
            model: common.model,
            prompts,
            echo: false,
            max_tokens: common.max_tokens,
            rsd: common.rsd.unwrap_or_default(),
            logprobs,
            choices: common.n,
            stream: common.stream,
            include_usage: common.stream_options.is_some_and(|options| options.include_usage),
        })
    }
}

/// Where a prompt stands in the body of a plain completion with so many prompts.
pub(super) fn prompt_path(index: usize, prompts: usize) -> String {
    if prompts == 1 { "prompt".to_owned() } else { format!("prompt[{index}]") }
}

fn prompts(field: PromptField) -> Result<Vec<RequestPrompt>, ApiError> {
    let prompts: Vec<_> = match field {
        PromptField::Text(text) => vec![RequestPrompt::Text(text)],
        PromptField::Texts(texts) => texts.into_iter().map(RequestPrompt::Text).collect(),
        PromptField::Ids(ids) => vec![RequestPrompt::Ids(ids)],
        PromptField::IdLists(lists) => lists.into_iter().map(RequestPrompt::Ids).collect(),
    };
    if prompts.len() > MAX_PROMPTS {
        let message = format!("prompt: at most {MAX_PROMPTS} prompts in one request, found {}", prompts.len());
        return Err(invalid_value("prompt", message));
    }
    let empty = if prompts.is_empty() { Some(0) } else { prompts.iter().position(RequestPrompt::is_empty) };
    if let Some(index) = empty {
        let path = prompt_path(index, prompts.len().max(1));
        let message = format!("{path}: it must not be empty");
        return Err(ApiError::invalid(ApiErrorCode::EmptyPrompt, path, message));
    }
    Ok(prompts)
}

/// The fields of a body that are not null: a null means that the field was not given. Fails for a field that the
/// endpoint does not take.
fn given_fields(body: &Value, endpoint: &EndpointFields) -> Result<Value, ApiError> {
    if !body.is_object() {
        return Err(ApiError::new(ApiErrorCode::InvalidJson, "the body must be a JSON object"));
    }
    let body = without_nulls(body);
    endpoint.check(&body)?;
    Ok(body)
}

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
    serde_path_to_error::deserialize(body).map_err(|error| FieldError::from(error).into())
}

fn check_max_tokens(field: &str, value: Option<usize>, least: usize) -> Result<(), ApiError> {
    match value {
        Some(value) if value < least => {
            let hint = if field == "max_tokens" { "; 0 needs `echo: true` of /v1/completions" } else { "" };
            Err(invalid_value(field, format!("{field}: expected at least {least}, found {value}{hint}")))
        }
        _ => Ok(()),
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
        top_k: top_k(common.top_k)?,
        top_p: check("top_p", common.top_p, 0.0, 1.0)?,
        min_p: check("min_p", common.min_p, 0.0, 1.0)?,
        repetition_penalty: check("repetition_penalty", common.repetition_penalty, 0.01, 10.0)?,
        frequency_penalty: check("frequency_penalty", common.frequency_penalty, -2.0, 2.0)?,
        presence_penalty: check("presence_penalty", common.presence_penalty, -2.0, 2.0)?,
        logit_bias,
        ..Sampling::default()
    })
}

/// Engines spell "off" as 0 or as -1, and clients of theirs send it.
fn top_k(value: Option<i64>) -> Result<Option<usize>, ApiError> {
    match value {
        None | Some(-1 | 0) => Ok(None),
        Some(value) => match usize::try_from(value) {
            Ok(top) => Ok(Some(top)),
            Err(_) => Err(invalid_value("top_k", format!("top_k: expected at least -1, found {value}"))),
        },
    }
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

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::subsequence};
    use serde_json::json;

    use super::*;

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

    #[test]
    fn a_prompt_is_a_text_or_ids_alone_or_in_a_list() {
        let text = |text: &str| RequestPrompt::Text(text.to_owned());
        for (prompt, parsed) in [
            (json!("hi"), vec![text("hi")]),
            (json!(["hi"]), vec![text("hi")]),
            (json!(["1+1=", "2+2="]), vec![text("1+1="), text("2+2=")]),
            (json!([17, 10]), vec![RequestPrompt::Ids(vec![17, 10])]),
            (json!([[17, 10], [3]]), vec![RequestPrompt::Ids(vec![17, 10]), RequestPrompt::Ids(vec![3])]),
        ] {
            assert_eq!(ParsedRequest::completion(&json!({"prompt": prompt})).unwrap().prompts, parsed);
        }
        for (prompt, path, code) in [
            (json!(""), "prompt", "empty_prompt"),
            (json!([]), "prompt", "empty_prompt"),
            (json!(["hi", ""]), "prompt[1]", "empty_prompt"),
            (json!([[]]), "prompt", "empty_prompt"),
            (json!([1, "hi"]), "prompt", "invalid_type"),
            (json!([-1]), "prompt", "invalid_type"),
            (json!(vec!["hi"; 33]), "prompt", "invalid_value"),
        ] {
            let error = ParsedRequest::completion(&json!({"prompt": prompt})).unwrap_err().body();
            assert_eq!((&error["error"]["param"], &error["error"]["code"]), (&json!(path), &json!(code)), "{error}");
        }
    }

    #[test]
    fn a_limit_of_0_tokens_needs_echo_and_best_of_must_be_n() {
        let parse = |extra: Value| {
            let mut body = json!({"prompt": "hi"});
            body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            ParsedRequest::completion(&body).map_err(|error| error.body()["error"]["param"].clone())
        };
        assert_eq!(parse(json!({"max_tokens": 0})).unwrap_err(), "max_tokens");
        assert_eq!(parse(json!({"max_tokens": 0, "echo": true})).unwrap().max_tokens, Some(0));
        assert!(parse(json!({"best_of": 1})).is_ok() && parse(json!({"best_of": 2, "n": 2})).is_ok());
        assert_eq!(parse(json!({"best_of": 3, "n": 2})).unwrap_err(), "best_of");
        let chat = json!({"messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 0});
        assert_eq!(ParsedRequest::chat(&chat).unwrap_err().body()["error"]["param"], "max_completion_tokens");
    }

    #[test]
    fn top_k_is_off_as_engines_spell_it() {
        let top_k = |value: i64| {
            let request = ParsedRequest::completion(&json!({"prompt": "hi", "top_k": value}));
            request.map(|request| request.sampling.top_k).map_err(|error| error.body()["error"]["param"].clone())
        };
        assert_eq!([-1, 0, 1].map(|value| top_k(value).unwrap()), [None, None, Some(1)]);
        assert_eq!(top_k(-2).unwrap_err(), "top_k");
    }

    /// Every optional field of one endpoint, those inside other fields too, with a value that is not the default.
    fn optional_fields(chat: bool) -> Vec<(&'static str, Value)> {
        let common = [
            ("/model", json!("rsd")),
            ("/max_tokens", json!(5)),
            ("/temperature", json!(0.5)),
            ("/top_p", json!(0.5)),
            ("/top_k", json!(3)),
            ("/min_p", json!(0.1)),
            ("/repetition_penalty", json!(1.5)),
            ("/frequency_penalty", json!(1)),
            ("/presence_penalty", json!(1)),
            ("/logit_bias", json!({"3": 1})),
            ("/seed", json!(3)),
            ("/stop", json!(["x"])),
            ("/stream", json!(true)),
            ("/stream_options/include_usage", json!(true)),
            ("/rsd/delta", json!(0.5)),
            ("/rsd/weighting", json!("sigmoidal")),
            ("/rsd/after_rejection", json!("target")),
            ("/rsd/enabled", json!(true)),
            ("/rsd/trace", json!(true)),
            ("/user", json!("me")),
        ];
        let own: &[(&str, Value)] = &if chat {
            vec![("/max_completion_tokens", json!(7)), ("/n", json!(2)), ("/messages/0/tool_calls", json!([]))]
        } else {
            vec![("/logprobs", json!(2)), ("/echo", json!(true)), ("/best_of", json!(1))]
        };
        common.iter().chain(own).cloned().collect()
    }

    fn body(chat: bool) -> Value {
        let mut body = json!({"stream_options": {}, "rsd": {}});
        if chat {
            body["messages"] = json!([{"role": "user", "content": "hi"}]);
        } else {
            body["prompt"] = json!("hi");
        }
        body
    }

    fn set(body: &mut Value, pointer: &str, value: Value) {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[field] = value;
    }

    #[test]
    fn the_optional_fields_of_the_tests_are_those_of_the_lists() {
        for (chat, schema) in
            [(true, schemars::schema_for!(ChatRequest)), (false, schemars::schema_for!(CompletionRequest))]
        {
            let listed: Vec<_> = optional_fields(chat).iter().map(|(pointer, _)| pointer.split('/').nth(1)).collect();
            for field in schema.get("properties").unwrap().as_object().unwrap().keys() {
                let required = ["messages", "prompt"].contains(&field.as_str());
                // They need each other, and the test gives each field alone.
                let paired = ["logprobs", "top_logprobs", "n"].contains(&field.as_str());
                assert!(required || paired || listed.contains(&Some(field.as_str())), "{field}");
            }
        }
    }

    proptest! {
        /// OpenAI's description allows null for every optional field, and clients send it.
        #[test]
        fn null_says_what_an_absent_field_says(
            chat in any::<bool>(),
            given in subsequence((0..23).collect::<Vec<usize>>(), 0..23),
            null in subsequence((0..23).collect::<Vec<usize>>(), 0..23),
        ) {
            let fields = optional_fields(chat);
            let mut absent = body(chat);
            for (pointer, value) in given.iter().filter(|index| !null.contains(index)).map(|index| &fields[*index]) {
                set(&mut absent, pointer, value.clone());
            }
            let mut with_nulls = absent.clone();
            for (pointer, _) in null.iter().map(|index| &fields[*index]) {
                set(&mut with_nulls, pointer, Value::Null);
            }
            for field in ["/tools", "/functions", "/function_call", "/response_format", "/audio", "/unknown"] {
                set(&mut with_nulls, field, Value::Null);
            }
            let parse = |body: &Value| {
                let parsed = if chat { ParsedRequest::chat(body) } else { ParsedRequest::completion(body) };
                format!("{:?}", parsed.unwrap())
            };
            prop_assert_eq!(parse(&with_nulls), parse(&absent));
        }
    }
}
