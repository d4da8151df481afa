//! Which fields each endpoint takes and ignores, and why it refuses the others.

use serde_json::Value;

use super::error::{ApiError, ApiErrorCode};

/// Fields of both endpoints.
const COMMON: [&str; 16] = [
    "model",
    "max_tokens",
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
];

/// Fields that clients send and that do not change the answer; they are ignored.
const IGNORED: [&str; 8] = [
    "user",
    "metadata",
    "store",
    "service_tier",
    "parallel_tool_calls",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
];

/// The fields of one endpoint besides those of both.
#[derive(Debug)]
pub(super) struct EndpointFields {
    path: &'static str,
    own: &'static [&'static str],
}

pub(super) const CHAT: EndpointFields = EndpointFields {
    path: "/v1/chat/completions",
    own: &["messages", "max_completion_tokens", "logprobs", "top_logprobs"],
};

pub(super) const COMPLETIONS: EndpointFields =
    EndpointFields { path: "/v1/completions", own: &["prompt", "logprobs", "echo", "best_of"] };

impl EndpointFields {
    /// Refuses fields that the endpoint does not take, unless their value asks for nothing.
    pub fn check(&self, body: &Value) -> Result<(), ApiError> {
        for (field, value) in body.as_object().into_iter().flatten() {
            let field = field.as_str();
            if self.own.contains(&field) || COMMON.contains(&field) || IGNORED.contains(&field) {
                continue;
            }
            if !asks_for_nothing(field, value) {
                return Err(self.refusal(field));
            }
        }
        Ok(())
    }

    fn refusal(&self, field: &str) -> ApiError {
        let other = if self.path == CHAT.path { &COMPLETIONS } else { &CHAT };
        if !other.own.contains(&field) {
            return unsupported(field, field);
        }
        let instead = match field {
            "messages" => "send `prompt`",
            "prompt" => "send `messages`",
            "max_completion_tokens" => "send `max_tokens`",
            "top_logprobs" => "send their number as `logprobs`",
            _ => "leave it out",
        };
        let message = format!("{field}: a field of {}, which {} does not take; {instead}", other.path, self.path);
        ApiError::invalid(ApiErrorCode::UnsupportedParameter, field, message)
    }
}

/// Whether a field that is not supported has a value that changes nothing.
fn asks_for_nothing(field: &str, value: &Value) -> bool {
    is_empty(value)
        || value == ""
        || match field {
            // Without tools there is nothing that a model could call.
            "tool_choice" | "function_call" => value == "none" || value == "auto",
            "response_format" => value.get("type").is_some_and(|kind| kind == "text"),
            "modalities" => value.as_array().is_some_and(|kinds| kinds.iter().all(|kind| kind == "text")),
            "best_of" => value == 1,
            "echo" | "truncate_sequence" => value == false,
            _ => false,
        }
}

pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Refuses a field that stands at `path`, and says why and what to do.
pub(super) fn unsupported(path: &str, field: &str) -> ApiError {
    let message = format!("{path}: {}", reason(field));
    ApiError::invalid(ApiErrorCode::UnsupportedParameter, path, message)
}

fn reason(field: &str) -> &'static str {
    match field {
        "tools" | "tool_choice" | "tool_calls" | "tool_call_id" | "functions" | "function_call" => {
            "tool calls are not supported under RSD, whose steps are text that the reward model can score; leave it out \
             and describe the tools in a message, or send the request to `mistralrs serve`"
        }
        "response_format" | "grammar" | "guided_json" | "guided_regex" | "guided_choice" | "guided_grammar"
        | "structured_outputs" => {
            "draft and target decode without a grammar, so no format can be guaranteed; leave it out, ask for the format \
             in a message and check the answer"
        }
        "audio" | "modalities" | "images" => "these models take and write text alone; leave it out",
        "web_search_options" => "this server searches no web; leave it out and put what was found into a message",
        "prediction" => "the draft model predicts the answer already; leave it out",
        "reasoning_effort" | "verbosity" | "reasoning" => {
            "these models have no such switch; leave it out and say in a message how long the answer should be"
        }
        "best_of" => "answers are not ranked; send `n` and choose among the choices",
        "suffix" => "text is continued at its end alone; leave it out",
        "truncate_sequence" => "a prompt is never shortened; shorten it and leave this out",
        _ => "there is no such field here; leave it out",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde_json::json;

    use super::{
        super::body_fields::{ChatRequest, CompletionRequest},
        *,
    };

    #[test]
    fn the_lists_are_the_fields_of_the_types() {
        for (schema, endpoint) in
            [(schemars::schema_for!(ChatRequest), CHAT), (schemars::schema_for!(CompletionRequest), COMPLETIONS)]
        {
            let fields: BTreeSet<_> = schema.get("properties").unwrap().as_object().unwrap().keys().cloned().collect();
            let listed = COMMON.iter().chain(endpoint.own).map(|field| (*field).to_owned());
            assert_eq!(fields, listed.collect(), "{}", endpoint.path);
        }
    }

    #[test]
    fn what_is_refused_is_named_with_what_to_do_about_it() {
        let refusals = [
            (CHAT, json!({"tools": [{"type": "function"}]})),
            (CHAT, json!({"response_format": {"type": "json_object"}})),
            (CHAT, json!({"modalities": ["text", "audio"]})),
            (CHAT, json!({"prompt": "hi"})),
            (CHAT, json!({"echo": true})),
            (CHAT, json!({"mirostat": 2})),
            (COMPLETIONS, json!({"messages": [{"role": "user", "content": "hi"}]})),
            (COMPLETIONS, json!({"max_completion_tokens": 4})),
            (COMPLETIONS, json!({"top_logprobs": 2})),
            (COMPLETIONS, json!({"suffix": "end"})),
        ];
        let messages = refusals.map(|(endpoint, body)| endpoint.check(&body).unwrap_err().body());
        insta::assert_snapshot!(messages.map(|body| body["error"]["message"].as_str().unwrap().to_owned()).join("\n"));
    }

    #[test]
    fn values_that_ask_for_nothing_are_accepted() {
        for body in [
            json!({"tools": [], "tool_choice": "auto", "function_call": "none", "functions": null, "suffix": ""}),
            json!({"response_format": {"type": "text"}, "modalities": ["text"], "echo": false, "best_of": 1}),
        ] {
            CHAT.check(&body).unwrap();
        }
    }

    proptest! {
        #[test]
        fn a_field_is_taken_or_refused_by_its_name(field in "[a-z_]{1,12}", value in 2..9) {
            for endpoint in [CHAT, COMPLETIONS] {
                let known = COMMON.iter().chain(&IGNORED).chain(endpoint.own).any(|known| *known == field);
                let checked = endpoint.check(&json!({field.as_str(): value}));
                prop_assert_eq!(known, checked.is_ok());
                if let Err(error) = checked {
                    prop_assert_eq!(&error.body()["error"]["param"], field.as_str());
                }
            }
        }
    }
}
