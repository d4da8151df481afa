//! The fields of the requests of the OpenAI API, as the document describes them and serde parses them.

use std::collections::HashMap;

use rsd_core::policy::{AfterRejection, WeightingFunction};
use schemars::JsonSchema;
use serde::Deserialize;

use super::messages::RequestMessage;

/// Fields of both endpoints.
// A body is deserialized as these fields and as the endpoint's own: serde's `flatten` would lose the path of a field
// whose type is wrong.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct CommonFields {
    /// The model that answers; default: RSD. `GET /v1/models` lists the names.
    pub model: Option<String>,
    /// Limit on the tokens of the answer. The default is `limits.max_tokens` of the deployment. A higher value is
    /// lowered to it, and the header `x-rsd-max-tokens` of the answer says so. 0 needs `echo`.
    #[schemars(range(min = 0))]
    pub max_tokens: Option<usize>,
    /// 0 is greedy; default: 1.
    #[schemars(range(min = 0, max = 2))]
    pub temperature: Option<f64>,
    /// Samples from the smallest set of tokens with this probability; default: all tokens.
    #[schemars(range(min = 0, max = 1))]
    pub top_p: Option<f64>,
    /// Samples from this many of the most likely tokens; 0, -1 and the default: all tokens.
    #[schemars(range(min = -1))]
    pub top_k: Option<i64>,
    /// Excludes tokens that are less likely than this fraction of the most likely one.
    #[schemars(range(min = 0, max = 1))]
    pub min_p: Option<f64>,
    /// Divides the positive logits of tokens that occurred before, and multiplies the negative ones.
    #[schemars(range(min = 0.01, max = 10))]
    pub repetition_penalty: Option<f64>,
    /// Subtracted from the logit of a token for each time that it occurred before.
    #[schemars(range(min = -2, max = 2))]
    pub frequency_penalty: Option<f64>,
    /// Subtracted from the logits of tokens that occurred before.
    #[schemars(range(min = -2, max = 2))]
    pub presence_penalty: Option<f64>,
    /// Added to the logits of these token ids, from -100 to 100 each.
    pub logit_bias: Option<HashMap<String, f64>>,
    /// The same seed gives the same answer, but under `after_rejection: auto` the measured speeds also decide; default: the server's `--seed`, else random.
    pub seed: Option<i64>,
    /// Strings that end the answer before they appear in it: at most 16 of 1 to 256 bytes.
    pub stop: Option<StopStrings>,
    /// Number of answers, at most `limits.max_choices` of the deployment; default: 1.
    #[schemars(range(min = 1))]
    pub n: Option<usize>,
    /// Whether to send the answer as server-sent events, one for each step.
    #[serde(default)]
    pub stream: bool,
    pub stream_options: Option<StreamOptions>,
    pub rsd: Option<RsdOptions>,
}

/// One stop string or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum StopStrings {
    One(String),
    Many(Vec<String>),
}

/// Options of a stream.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct StreamOptions {
    /// Whether the last event holds `usage`. Other options are ignored.
    #[serde(default)]
    pub include_usage: bool,
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
pub(super) struct ChatFields {
    #[schemars(length(min = 1))]
    pub messages: Vec<RequestMessage>,
    /// Overrides `max_tokens`.
    #[schemars(range(min = 1))]
    pub max_completion_tokens: Option<usize>,
    /// Whether to report log-probabilities. Only a model that answers alone has them.
    pub logprobs: Option<bool>,
    /// Number of alternatives for each token, with `logprobs`.
    #[schemars(range(max = 20))]
    pub top_logprobs: Option<usize>,
}

/// What is continued: one prompt or at most 32, each a text or token ids of the model that answers (under RSD of the
/// target).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text, a list of texts, a list of token ids or a list of such lists")]
pub(super) enum PromptField {
    Text(String),
    Texts(Vec<String>),
    Ids(Vec<u32>),
    IdLists(Vec<Vec<u32>>),
}

/// Fields of plain completions only.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct CompletionFields {
    pub prompt: PromptField,
    /// Reports log-probabilities, with this number of alternatives for each token. Only a model that answers alone has
    /// them.
    #[schemars(range(max = 20))]
    pub logprobs: Option<usize>,
    /// Whether each choice begins with its prompt. With `logprobs`, those of the prompt come first; with
    /// `max_tokens: 0`, the prompt is all there is.
    #[serde(default)]
    pub echo: bool,
    /// Only the value of `n`.
    pub best_of: Option<usize>,
}

/// The body of `POST /v1/chat/completions`.
///
/// `user`, `metadata`, `store`, `service_tier`, `parallel_tool_calls`, `safety_identifier`, `prompt_cache_key` and
/// `prompt_cache_retention` are ignored. Any other field is refused, unless its value asks for nothing.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "ChatCompletionRequest")]
pub(super) struct ChatRequest {
    #[schemars(flatten)]
    pub common: CommonFields,
    #[schemars(flatten)]
    pub chat: ChatFields,
}

/// The body of `POST /v1/completions`.
///
/// `user`, `metadata`, `store`, `service_tier`, `parallel_tool_calls`, `safety_identifier`, `prompt_cache_key` and
/// `prompt_cache_retention` are ignored. Any other field is refused, unless its value asks for nothing.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "TextCompletionRequest")]
pub(super) struct CompletionRequest {
    #[schemars(flatten)]
    pub common: CommonFields,
    #[schemars(flatten)]
    pub completion: CompletionFields,
}
