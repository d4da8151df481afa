//! The requests' JSON. Types are strict; what RSD cannot honour is refused by name in `parse`.
//!
//! A body is read twice, as [`Common`] and as its endpoint's own fields: serde's `flatten` would lose the path of a
//! field whose type is wrong.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// Fields that chat and plain completions share.
#[derive(Debug, Deserialize)]
pub(super) struct Common {
    pub model: Option<String>,
    pub max_tokens: Option<usize>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<usize>,
    pub min_p: Option<f64>,
    pub repetition_penalty: Option<f64>,
    pub frequency_penalty: Option<f64>,
    pub presence_penalty: Option<f64>,
    pub logit_bias: Option<HashMap<String, f64>>,
    pub seed: Option<i64>,
    pub stop: Option<Stop>,
    pub n: Option<usize>,
    #[serde(default)]
    pub stream: bool,
    pub stream_options: Option<StreamOptions>,
    pub rsd: Option<RsdOptions>,
}

/// One stop string or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Stop {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize)]
pub(super) struct StreamOptions {
    #[serde(default)]
    pub include_usage: bool,
}

/// What a request changes of the policy, and whether it wants the account.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RsdOptions {
    pub delta: Option<f64>,
    pub weighting: Option<crate::policy::Weighting>,
    pub enabled: Option<bool>,
    #[serde(default)]
    pub trace: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct ChatBody {
    pub messages: Vec<ChatMessage>,
    pub max_completion_tokens: Option<usize>,
    pub logprobs: Option<bool>,
    pub top_logprobs: Option<usize>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ChatMessage {
    pub role: String,
    pub content: Option<Content>,
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// A message's content: text, or parts of which only text is taken.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
pub(super) struct Part {
    #[serde(rename = "type")]
    pub kind: String,
    pub text: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct CompletionBody {
    pub prompt: String,
    pub logprobs: Option<usize>,
}
