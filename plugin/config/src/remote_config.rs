//! The settings of a model on a remote engine.

use std::path::PathBuf;

use rsd_core::pipeline::price::{CurrencyCode, TokenPrice};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretSource;

/// A model on a remote engine: where it is, and how it is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoteConfig {
    /// The kind of engine: `vllm`, `sglang`, `llama_server`, `openai` (any server with `/v1/completions`; text goes both
    /// ways) or `auto`, which asks the server at the start.
    pub engine: RemoteEngine,
    /// Base URLs of the engine, such as `http://10.0.0.5:8000`. The first one that is well is used, the others replace it
    /// while it is not.
    #[schemars(length(min = 1), inner(length(min = 1)))]
    pub urls: Vec<String>,
    /// The name of the model, as the engine knows it. Default: the only model that it serves.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub model: Option<String>,
    /// Environment variable with the API key of the engine.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub api_key_env: Option<SecretSource>,
    /// File with the API key of the engine.
    #[serde(default)]
    #[schemars(extend("x-path" = "file"))]
    pub api_key_file: Option<PathBuf>,
    /// Headers that every request to the engine carries in addition.
    #[serde(default)]
    pub headers: Vec<RemoteHeader>,
    /// What tokens cost, if the engine's provider bills them. Default: nothing is counted.
    #[serde(default)]
    pub price: Option<PriceConfig>,
    /// File with certificates (PEM) to trust in addition to the usual ones.
    #[serde(default)]
    #[schemars(extend("x-path" = "file"))]
    pub ca_file: Option<PathBuf>,
    /// Requests to the engine at the same time; further ones wait in order.
    #[serde(default = "RemoteConfig::default_max_concurrency")]
    #[schemars(range(min = 1, max = 4096))]
    pub max_concurrency: usize,
    /// Attempts after one that failed before the engine sent anything.
    #[serde(default = "RemoteConfig::default_retries")]
    #[schemars(range(max = 10))]
    pub retries: u32,
    /// How long to wait for the engine.
    #[serde(default)]
    pub timeouts: RemoteTimeouts,
}

impl RemoteConfig {
    fn default_max_concurrency() -> usize {
        16
    }

    fn default_retries() -> u32 {
        2
    }
}

/// What a million tokens cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceConfig {
    /// Of prompts.
    #[schemars(range(min = 0))]
    pub input: f64,
    /// Of prompts, as far as the engine's cache held them. Default: `input`.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub cached_input: Option<f64>,
    /// Of decoded tokens.
    #[schemars(range(min = 0))]
    pub output: f64,
    /// The currency, three capital letters. It is a label: nothing is converted.
    #[serde(default = "PriceConfig::default_currency")]
    #[schemars(length(min = 1))]
    pub currency: String,
}

impl PriceConfig {
    fn default_currency() -> String {
        "USD".to_owned()
    }

    /// The price; `None` if the currency is no code.
    #[must_use]
    pub fn token_price(&self) -> Option<TokenPrice> {
        let Self { input, output, .. } = *self;
        let cached_input = self.cached_input.unwrap_or(input);
        Some(TokenPrice { input, cached_input, output, currency: CurrencyCode::parse(&self.currency)? })
    }
}

/// A request header with its value: as text, or where a secret is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoteHeader {
    /// The name of the header.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The value.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub value: Option<SecretSource>,
    /// Environment variable with the value.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub value_env: Option<SecretSource>,
    /// File with the value, which must be its owner's alone.
    #[serde(default)]
    #[schemars(extend("x-path" = "file"))]
    pub value_file: Option<PathBuf>,
}

/// A kind of engine on another machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RemoteEngine {
    /// vLLM, by `/v1/completions` with token ids; the head of a reward model by `/pooling`.
    Vllm,
    /// SGLang, by `/generate`; the head of a reward model by `/classify`.
    Sglang,
    /// llama.cpp's server, by `/completion`.
    LlamaServer,
    /// Any server with `/v1/completions`.
    Openai,
    /// What the server says it is.
    Auto,
}

impl RemoteEngine {
    /// The name in deployment files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
            Self::LlamaServer => "llama_server",
            Self::Openai => "openai",
            Self::Auto => "auto",
        }
    }
}

/// How long to wait for an engine, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteTimeouts {
    /// For a connection.
    #[schemars(range(min = 1, max = 600_000))]
    pub connect_ms: u64,
    /// For the first token of a stream, which includes the engine's queue and its prefill.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub first_token_ms: u64,
    /// Between two parts of a stream.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub between_tokens_ms: u64,
    /// For a whole reply that is not a stream, such as one step of llama.cpp's server.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub reply_ms: u64,
}

impl Default for RemoteTimeouts {
    fn default() -> Self {
        Self { connect_ms: 5_000, first_token_ms: 60_000, between_tokens_ms: 30_000, reply_ms: 120_000 }
    }
}
