//! The messages of a chat request.

use rsd_core::pipeline::roles::ChatMessage;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{
    error::{ApiError, ApiErrorCode},
    field_lists::{is_empty, unsupported},
};

/// A message of a chat.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ChatMessage")]
pub(super) struct RequestMessage {
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

impl RequestMessage {
    pub fn parse(self, index: usize) -> Result<ChatMessage, ApiError> {
        let path = |field: &str| format!("messages[{index}].{field}");
        if !["system", "developer", "user", "assistant"].contains(&self.role.as_str()) {
            let path = path("role");
            let message = format!("{path}: expected system, developer, user or assistant, found `{}`", self.role);
            return Err(ApiError::invalid(ApiErrorCode::InvalidValue, path, message));
        }
        for (field, value) in [
            ("tool_calls", &self.tool_calls),
            ("tool_call_id", &self.tool_call_id),
            ("function_call", &self.function_call),
            ("audio", &self.audio),
        ] {
            if value.as_ref().is_some_and(|value| !is_empty(value)) {
                return Err(unsupported(&path(field), field));
            }
        }
        let content = match self.content {
            None => {
                let path = path("content");
                let message = format!("{path}: text is needed");
                return Err(ApiError::invalid(ApiErrorCode::InvalidValue, path, message));
            }
            Some(MessageContent::Text(text)) => text,
            Some(MessageContent::Parts(parts)) => {
                let texts = parts.into_iter().map(|part| {
                    if let ("text", Some(text)) = (part.kind.as_str(), part.text) {
                        return Ok(text);
                    }
                    let path = path("content");
                    let message = format!(
                        "{path}: these models take text alone, in parts of type `text`, found `{}`; leave the part out",
                        part.kind
                    );
                    Err(ApiError::invalid(ApiErrorCode::UnsupportedParameter, path, message))
                });
                texts.collect::<Result<String, _>>()?
            }
        };
        let role = if self.role == "developer" { "system".to_owned() } else { self.role };
        Ok(ChatMessage { role, content })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_developer_is_the_system_and_parts_are_one_text() {
        let parse = |message: Value| serde_json::from_value::<RequestMessage>(message).unwrap().parse(0).unwrap();
        let parts = json!({"role": "user", "content": [{"type": "text", "text": "2+2?"},
            {"type": "text", "text": " Digits only."}]});
        assert_eq!(parse(parts), ChatMessage::user("2+2? Digits only."));
        let developer = json!({"role": "developer", "content": [{"type": "text", "text": "Be brief."}]});
        assert_eq!(parse(developer), ChatMessage::system("Be brief."));
    }
}
