//! The settings of a deployment file, with every default.
//!
//! Model options have the names of `mistralrs serve`, so that a command line can be copied word for word.

use std::{
    fmt,
    ops::Deref,
    path::{Path, PathBuf},
};

use rsd_protocol::{
    policy::{PolicyConfig, PolicyPreset},
    routes::DEFAULT_PORT,
    settings::{RuntimeLimits, RuntimeSettings, RuntimeSteps, TargetDownAction},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConnectionLimits, RemoteConfig, RewardConfig};

/// A deployment: the models, how steps are cut and scored, limits, and the servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Version of the file format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// The models.
    pub roles: ModelRoles,
    /// How a draft step is scored.
    #[serde(default)]
    pub reward: RewardConfig,
    /// When a draft step is accepted.
    #[serde(default)]
    pub policy: PolicyConfig,
    /// Policies of single model names. A name that is new is served too.
    #[serde(default)]
    pub presets: Vec<PolicyPreset>,
    /// How text is cut into steps.
    #[serde(default)]
    pub steps: StepsConfig,
    /// Limits of one request, and of the number of requests.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// The OpenAI endpoint.
    #[serde(default)]
    pub server: ServerConfig,
    /// The admin API: runtime settings, history, predictions.
    #[serde(default)]
    pub admin: AdminConfig,
}

impl Deployment {
    /// The settings that can change while the server runs.
    #[must_use]
    pub fn runtime_settings(&self) -> RuntimeSettings {
        RuntimeSettings {
            policy: self.policy,
            presets: self.presets.clone(),
            steps: RuntimeSteps { max_tokens: self.steps.max_tokens, lookahead: self.steps.lookahead },
            limits: RuntimeLimits {
                max_steps: self.limits.max_steps,
                max_tokens: self.limits.max_tokens,
                on_target_down: self.limits.on_target_down,
            },
        }
    }
}

/// The draft and the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelRoles {
    /// The small model, which decodes every step first.
    pub draft: RoleConfig,
    /// The large model, which decodes rejected steps again. It may be left out if the command line of `serve` names it.
    #[serde(default)]
    pub target: Option<RoleConfig>,
}

/// A model: its source and how it is loaded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RoleConfig {
    /// One of the models that `mistralrs-rsd models list` lists. Excludes `model_id` and the options that describe the
    /// files of a model.
    #[schemars(length(min = 1))]
    pub bundled: Option<String>,
    /// The model is on a remote engine. Excludes every other setting of the role but `tokenizer`, `context_length` and
    /// `parameters`.
    pub remote: Option<RemoteConfig>,
    /// Hugging Face model id, or a local folder.
    #[schemars(length(min = 1), extend("x-path" = "model"))]
    pub model_id: Option<String>,
    /// Path of a tokenizer.json. With `remote`, default: the tokenizer of the other model, if that is in this process.
    #[schemars(extend("x-path" = "file"))]
    pub tokenizer: Option<PathBuf>,
    /// Architecture, if it is not detected.
    #[schemars(length(min = 1))]
    pub arch: Option<String>,
    /// Data type: auto, bf16, f16 or f32. Default: auto, which is f32 for a GGUF or GGML file on a CPU, and otherwise what
    /// mistral.rs chooses.
    #[schemars(extend("enum" = ["auto", "bf16", "f16", "f32", null]))]
    pub dtype: Option<String>,
    /// File format: plain (safetensors), gguf or ggml.
    pub format: Option<ModelFormat>,
    /// Names of the GGUF or GGML files, separated by semicolons.
    #[schemars(length(min = 1))]
    pub quantized_file: Option<String>,
    /// Model whose tokenizer is used with a GGUF file, if the tokenizer in the file does not convert well.
    #[schemars(length(min = 1), extend("x-path" = "model"))]
    pub tok_model_id: Option<String>,
    /// Grouped-query factor of a GGML file.
    #[schemars(range(min = 1))]
    pub gqa: Option<usize>,
    /// Model ids of LoRA adapters, separated by semicolons.
    #[schemars(length(min = 1), extend("x-path" = "model"))]
    pub lora: Option<String>,
    /// Model id of an X-LoRA adapter.
    #[schemars(length(min = 1), extend("x-path" = "model"))]
    pub xlora: Option<String>,
    /// X-LoRA ordering file.
    #[schemars(extend("x-path" = "file"))]
    pub xlora_order: Option<PathBuf>,
    /// Target non-granular index of X-LoRA.
    pub tgt_non_granular_index: Option<usize>,
    /// In-situ quantization: 2 to 8 bits, or a type such as q4k.
    pub isq: Option<String>,
    /// UQFF files to load.
    #[schemars(length(min = 1))]
    pub from_uqff: Option<String>,
    /// Organization of in-situ quantization: default or moqe.
    #[schemars(extend("enum" = ["default", "moqe", null]))]
    pub isq_organization: Option<String>,
    /// imatrix file for in-situ quantization.
    #[schemars(extend("x-path" = "file"))]
    pub imatrix: Option<PathBuf>,
    /// Calibration file that an imatrix is computed from.
    #[schemars(extend("x-path" = "file"))]
    pub calibration_file: Option<PathBuf>,
    /// Run on the CPU even if there is a GPU.
    pub cpu: bool,
    /// Layers per device, `ORD:NUM` each.
    pub device_layers: Option<Vec<String>>,
    /// Topology file.
    #[schemars(extend("x-path" = "file"))]
    pub topology: Option<PathBuf>,
    /// Longest prompt that automatic device mapping plans for.
    #[schemars(range(min = 1))]
    pub max_seq_len: Option<usize>,
    /// Largest batch that automatic device mapping plans for.
    #[schemars(range(min = 1))]
    pub max_batch_size: Option<usize>,
    /// PagedAttention, and the memory for it.
    pub paged_attn: PagedAttnConfig,
    /// Chat template file.
    #[schemars(extend("x-path" = "file"))]
    pub chat_template: Option<PathBuf>,
    /// Jinja template that overrides the model's.
    #[schemars(extend("x-path" = "file"))]
    pub jinja_explicit: Option<PathBuf>,
    /// Source of the Hugging Face token: cache, none, env:VARIABLE, path:FILE or literal:TOKEN.
    #[schemars(with = "Option<String>", extend("x-path" = "token_source"))]
    pub token_source: Option<SecretSource>,
    /// Tokens of a request, prompt and answer together. Default: the model's own limit, but at most 4096 if
    /// PagedAttention has to reserve memory for it.
    #[schemars(range(min = 1))]
    pub context_length: Option<usize>,
    /// Write, once, a copy of a GGUF in types that are faster on a CPU: padded to rows that fit K-quants, or else with
    /// `Q8_0` in place of `Q5_0` and `Q5_1`. Default: true for a bundled model on a CPU.
    pub requantize: Option<bool>,
    /// Parameters without embeddings, for FLOP estimates. Default: counted in the files of the model.
    #[schemars(range(min = 1))]
    pub parameters: Option<u64>,
    /// Number of prefix caches on a GPU without PagedAttention. Default: 16.
    #[schemars(range(min = 1))]
    pub prefix_cache_n: Option<usize>,
    /// Megabytes of prefix cache on a CPU between answers. With 0 every answer begins with an empty cache, so that not
    /// even the last bits of its logits depend on earlier requests. Default: 256.
    pub prefix_cache_mb: Option<usize>,
}

impl RoleConfig {
    /// This role with the model in one GGUF file.
    #[must_use]
    pub fn with_gguf(self, path: &Path) -> Self {
        let text = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
        Self {
            model_id: text(path.parent().map(Path::as_os_str)),
            quantized_file: text(path.file_name()),
            format: Some(ModelFormat::Gguf),
            ..self
        }
    }
}

/// The file format of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ModelFormat {
    /// safetensors
    Plain,
    /// GGUF
    Gguf,
    /// GGML
    Ggml,
}

/// PagedAttention on a GPU.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PagedAttnConfig {
    /// auto (on for CUDA), on or off.
    pub mode: PagedAttnMode,
    /// Reserve memory for this number of tokens. Default: `context_length`.
    #[schemars(range(min = 1))]
    pub context_len: Option<usize>,
    /// Reserve this number of megabytes instead.
    #[schemars(range(min = 1))]
    pub memory_mb: Option<usize>,
    /// Reserve memory up to this fraction of the device instead. Memory that other roles have reserved counts too.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub memory_fraction: Option<f32>,
    /// Tokens per block: 8, 16 or 32.
    #[schemars(extend("enum" = [8, 16, 32, null]))]
    pub block_size: Option<usize>,
    /// Cache data type: auto or f8e4m3.
    #[schemars(extend("enum" = ["auto", "f8e4m3", null]))]
    pub cache_type: Option<String>,
}

/// When PagedAttention is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PagedAttnMode {
    /// On for CUDA, off on other devices.
    #[default]
    Auto,
    /// Always; an error without a GPU.
    On,
    /// Never.
    Off,
}

/// How text is cut into steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StepsConfig {
    /// Where a step ends: delimiter, sentence, tokens or token.
    pub unit: StepUnit,
    /// Strings that end a step, for `unit: delimiter`.
    #[schemars(inner(length(min = 1)))]
    pub delimiters: Vec<String>,
    /// Tokens in a step, for `unit: tokens`.
    #[schemars(range(min = 1, max = 100_000))]
    pub tokens: usize,
    /// Tokens after which a step is cut; the part before counts as one step.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_tokens: usize,
    /// How many steps the draft may decode ahead while scores are pending.
    #[schemars(range(max = 64))]
    pub lookahead: usize,
    /// Tokens that the draft proposes at a time while the target decodes a step, which the target verifies in one
    /// forward pass. The step stays the same but for the rounding of prefill. With 0 the draft proposes none. Fixed at the
    /// start.
    #[schemars(range(max = 64))]
    pub proposals: usize,
}

/// Where a step ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StepUnit {
    /// After a delimiter.
    #[default]
    Delimiter,
    /// After a sentence or a line.
    Sentence,
    /// After a fixed number of tokens.
    Tokens,
    /// After every token.
    Token,
}

impl Default for StepsConfig {
    fn default() -> Self {
        Self {
            unit: StepUnit::Delimiter,
            delimiters: vec!["\n\n".to_owned()],
            tokens: 32,
            max_tokens: 512,
            lookahead: 0,
            proposals: 0,
        }
    }
}

/// Limits of one request, and of the number of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Steps of an answer.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_steps: usize,
    /// Tokens of an answer if the request sets no limit; a higher limit of a request is lowered to it.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_tokens: usize,
    /// Seconds that a request may take, from its start.
    #[schemars(range(min = 1, max = 604_800))]
    pub request_seconds: u64,
    /// Seconds that a score may take before the step goes to the target.
    #[schemars(range(min = 1, max = 604_800))]
    pub reward_seconds: u64,
    /// Requests that are answered at the same time.
    #[schemars(range(min = 1, max = 4096))]
    pub running: usize,
    /// Requests that may wait; one more gets status 429.
    #[schemars(range(max = 1_000_000))]
    pub waiting: usize,
    /// The highest `n` of a request, for each of its prompts.
    #[schemars(range(min = 1, max = 128))]
    pub max_choices: usize,
    /// What becomes of an answer of draft and target whose target fails after its retries: fail (the request fails), or
    /// draft (the draft decodes the rest, without scores, marked as a fallback).
    pub on_target_down: TargetDownAction,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_steps: 100,
            max_tokens: 2048,
            request_seconds: 600,
            reward_seconds: 60,
            running: 4,
            waiting: 16,
            max_choices: 8,
            on_target_down: TargetDownAction::Fail,
        }
    }
}

/// The OpenAI endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address to listen on. Default: loopback, unlike mistral.rs.
    #[schemars(length(min = 1))]
    pub host: String,
    /// Port to listen on.
    pub port: u16,
    /// Environment variable with the API key, which clients send as a bearer token.
    #[schemars(with = "Option<String>")]
    pub api_key_env: Option<SecretSource>,
    /// File with the API key.
    #[schemars(extend("x-path" = "file"))]
    pub api_key_file: Option<PathBuf>,
    /// Origins of web pages that may call the server, or `*` for all; none by default.
    #[schemars(inner(length(min = 1)))]
    pub cors_origins: Vec<String>,
    /// Host names, besides addresses and `localhost`, under which clients may call a server on loopback without an API
    /// key. Other names are refused, because a web page can make its own name point to loopback.
    #[schemars(inner(length(min = 1)))]
    pub allowed_hosts: Vec<String>,
    /// What clients may hold.
    pub limits: ConnectionLimits,
    /// Largest request body in bytes.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub body_limit: usize,
    /// Seconds that running requests have to finish at shutdown.
    #[schemars(range(max = 604_800))]
    pub drain_seconds: u64,
    /// The model name for RSD, in addition to the name of the target.
    #[schemars(length(min = 1))]
    pub model_name: String,
    /// Whether `/metrics` is served. It needs no API key.
    pub metrics: bool,
    /// Whether draft and target process a few tokens before the server is ready, so that their speeds are known before
    /// the first answer.
    pub warmup: bool,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 1234,
            api_key_env: None,
            api_key_file: None,
            cors_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            limits: ConnectionLimits::default(),
            body_limit: 2 << 20,
            drain_seconds: 30,
            model_name: "rsd".to_owned(),
            metrics: true,
            warmup: true,
        }
    }
}

/// The admin API, with which an operator sees and changes the runtime settings. It always needs a token. If none is
/// configured, `serve` creates tokens and writes them to a file that only its owner may read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Whether the admin API is served.
    pub enabled: bool,
    /// Address to listen on. Default: loopback.
    #[schemars(length(min = 1))]
    pub host: String,
    /// Port to listen on.
    pub port: u16,
    /// Environment variable with the read token.
    #[schemars(with = "Option<String>")]
    pub read_token_env: Option<SecretSource>,
    /// File with the read token.
    #[schemars(extend("x-path" = "file"))]
    pub read_token_file: Option<PathBuf>,
    /// Environment variable with the write token, which may also change settings.
    #[schemars(with = "Option<String>")]
    pub write_token_env: Option<SecretSource>,
    /// File with the write token.
    #[schemars(extend("x-path" = "file"))]
    pub write_token_file: Option<PathBuf>,
    /// Host names that requests may use, in addition to loopback and `host`.
    #[schemars(inner(length(min = 1)))]
    pub hosts: Vec<String>,
    /// Origins of web pages that may call the admin API; none by default.
    #[schemars(inner(length(min = 1)))]
    pub origins: Vec<String>,
    /// Open connections; `server.limits` has the time-outs.
    #[schemars(range(min = 1, max = 4096))]
    pub connections: usize,
    /// Revisions in the history.
    #[schemars(range(min = 2, max = 100_000))]
    pub history: usize,
    /// File to which every attempt to change something is appended, one JSON object per line.
    #[schemars(extend("x-path" = "file"))]
    pub audit_file: Option<PathBuf>,
    /// Number of recent requests that the operator can look at.
    #[schemars(range(max = 10_000))]
    pub traces: usize,
    /// Whether the text of those requests is stored too. Everybody with the read token can then read what users ask.
    pub trace_text: bool,
    /// Number of recent step decisions that predictions are computed from.
    #[schemars(range(min = 100, max = 1_000_000))]
    pub recorded_steps: usize,
    /// Whether the deployment file is reloaded when it changes. SIGHUP always reloads it.
    pub watch_file: bool,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            host: "127.0.0.1".to_owned(),
            port: DEFAULT_PORT,
            read_token_env: None,
            read_token_file: None,
            write_token_env: None,
            write_token_file: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            connections: 64,
            history: 1000,
            audit_file: None,
            traces: 50,
            trace_text: false,
            recorded_steps: 4096,
            watch_file: true,
        }
    }
}

/// Where a secret comes from: the source of a token, or the name of a variable. It may be the secret itself by mistake,
/// so `Debug` does not show it.
///
/// Serialization does, so that a deployment can be written as YAML and loaded again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretSource(String);

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretSource(..)")
    }
}

impl Deref for SecretSource {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SecretSource {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SettingOverride, TargetRule, load};

    #[test]
    fn a_file_becomes_folder_and_name() {
        let role = RoleConfig { cpu: true, ..RoleConfig::default() }.with_gguf(Path::new("/a/b.gguf"));
        assert_eq!(role.model_id.as_deref(), Some("/a"));
        assert_eq!(role.quantized_file.as_deref(), Some("b.gguf"));
        assert!(role.cpu);
    }

    #[test]
    fn nothing_that_holds_a_secret_prints_it() {
        let flags = [
            "roles.draft.bundled=draft",
            "roles.draft.token_source=literal:hf_abc",
            "roles.target={bundled: target, token_source: 'literal:hf_abc'}",
        ];
        let flags = flags.map(|flag| SettingOverride::parse(flag).unwrap());
        assert!(!format!("{flags:?}").contains("hf_abc"), "{flags:?}");
        let mut loaded = load(None, [], &flags, TargetRule::Required).unwrap();
        loaded.deployment.server.api_key_env = Some("hf_abc".into());
        assert!(!format!("{loaded:?}").contains("hf_abc"), "{loaded:?}");
        assert_eq!(loaded.deployment.roles.draft.token_source.as_deref(), Some("literal:hf_abc"));
    }
}
