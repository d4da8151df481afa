//! The deployment file's shape: what a YAML may say, with every default.
//!
//! Names of model options are those of `mistralrs serve`, so that a command line carries over word for word.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use rsd_protocol::{
    live::{Live, LiveLimits, LiveSteps},
    policy::{PolicyConfig, Preset},
    routes::DEFAULT_PORT,
};

use super::Secret;
use crate::reward::format::Family;

/// A whole deployment: three roles, how steps are cut and judged, limits, and the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Version of this file's format; 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// The models.
    pub roles: Roles,
    /// How a drafted step is judged.
    #[serde(default)]
    pub reward: RewardConfig,
    /// When a drafted step is kept.
    #[serde(default)]
    pub policy: PolicyConfig,
    /// More model names that answer, each with a policy of its own; or a policy of its own for one of those there are.
    #[serde(default)]
    pub presets: Vec<Preset>,
    /// How text is cut into steps.
    #[serde(default)]
    pub steps: StepsConfig,
    /// Bounds on one request.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// The OpenAI endpoint.
    #[serde(default)]
    pub server: ServerConfig,
    /// The operator's side: live policy, history, predictions.
    #[serde(default)]
    pub admin: AdminConfig,
}

impl Deployment {
    /// The settings that can change while the server serves.
    #[must_use]
    pub fn live(&self) -> Live {
        Live {
            policy: self.policy,
            presets: self.presets.clone(),
            steps: LiveSteps { max_tokens: self.steps.max_tokens, lookahead: self.steps.lookahead },
            limits: LiveLimits { max_steps: self.limits.max_steps, max_tokens: self.limits.max_tokens },
        }
    }
}

/// The draft and the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// The small model that writes every step first.
    pub draft: RoleConfig,
    /// The big model that rewrites steps that fail. May be left out when `serve` names it on the command line.
    #[serde(default)]
    pub target: Option<RoleConfig>,
}

/// One model: where it comes from and how it is loaded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RoleConfig {
    /// A model this project knows how to fetch by itself: see `mistralrs-rsd models list`.
    /// Excludes `model_id` and the options that describe its files.
    #[schemars(length(min = 1))]
    pub bundled: Option<String>,
    /// Hugging Face model id, or a local directory.
    #[schemars(length(min = 1), extend("x-path" = "model"))]
    pub model_id: Option<String>,
    /// Local tokenizer.json.
    #[schemars(extend("x-path" = "file"))]
    pub tokenizer: Option<PathBuf>,
    /// Architecture, where it is not detected.
    #[schemars(length(min = 1))]
    pub arch: Option<String>,
    /// Data type: auto, bf16, f16, f32. Default: auto, which is f32 for a GGUF or GGML file on a CPU, else mistral.rs's
    /// choice.
    #[schemars(extend("enum" = ["auto", "bf16", "f16", "f32", null]))]
    pub dtype: Option<String>,
    /// File format.
    pub format: Option<Format>,
    /// GGUF or GGML file names, separated by semicolons.
    #[schemars(length(min = 1))]
    pub quantized_file: Option<String>,
    /// Model whose tokenizer a GGUF uses, where the one in the file does not convert well.
    #[schemars(length(min = 1), extend("x-path" = "model"))]
    pub tok_model_id: Option<String>,
    /// Grouped-query factor of a GGML file.
    #[schemars(range(min = 1))]
    pub gqa: Option<usize>,
    /// LoRA adapter model ids, separated by semicolons.
    #[schemars(length(min = 1), extend("x-path" = "model"))]
    pub lora: Option<String>,
    /// X-LoRA adapter model id.
    #[schemars(length(min = 1), extend("x-path" = "model"))]
    pub xlora: Option<String>,
    /// X-LoRA ordering file.
    #[schemars(extend("x-path" = "file"))]
    pub xlora_order: Option<PathBuf>,
    /// Target non-granular index of X-LoRA.
    pub tgt_non_granular_index: Option<usize>,
    /// In-situ quantisation: 2 to 8, or a type such as q4k.
    pub isq: Option<String>,
    /// UQFF files to load.
    #[schemars(length(min = 1))]
    pub from_uqff: Option<String>,
    /// In-situ quantisation organisation: default or moqe.
    #[schemars(extend("enum" = ["default", "moqe", null]))]
    pub isq_organization: Option<String>,
    /// imatrix file for in-situ quantisation.
    #[schemars(extend("x-path" = "file"))]
    pub imatrix: Option<PathBuf>,
    /// Calibration file from which an imatrix is made.
    #[schemars(extend("x-path" = "file"))]
    pub calibration_file: Option<PathBuf>,
    /// Force the CPU.
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
    /// PagedAttention and its memory.
    pub paged_attn: PagedAttnConfig,
    /// Chat template file.
    #[schemars(extend("x-path" = "file"))]
    pub chat_template: Option<PathBuf>,
    /// Jinja template that overrides the model's.
    #[schemars(extend("x-path" = "file"))]
    pub jinja_explicit: Option<PathBuf>,
    /// Where the Hugging Face token comes from: cache, none, env:VAR, path:FILE, literal:TOKEN.
    #[schemars(with = "Option<String>", extend("x-path" = "token_source"))]
    pub token_source: Option<Secret>,
    /// Tokens a request may occupy in this model, prompt and answer. Default: the model's own limit,
    /// at most 4096 where PagedAttention has to reserve it.
    #[schemars(range(min = 1))]
    pub context_length: Option<usize>,
    /// Turn `Q5_0` and `Q5_1` tensors of a GGUF into `Q8_0` once, which is faster on a CPU (default: yes on a CPU).
    pub requantize: Option<bool>,
    /// Parameters without embeddings, for FLOP estimates. Default: counted in the weight files.
    #[schemars(range(min = 1))]
    pub parameters: Option<u64>,
    /// Prefix caches kept on a GPU without PagedAttention. Default: 16.
    #[schemars(range(min = 1))]
    pub prefix_cache_n: Option<usize>,
    /// Megabytes of prefix cache this model may keep on a CPU between answers. 0: every answer begins with an empty
    /// cache, so that not even the last bits of its logits depend on what was asked before. Default: 256.
    pub prefix_cache_mb: Option<usize>,
}

/// File format of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
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
    /// auto (on for CUDA), on, off.
    pub mode: PagedAttnMode,
    /// Reserve memory for this many tokens. The default: what `context_length` says.
    #[schemars(range(min = 1))]
    pub context_len: Option<usize>,
    /// Reserve this many megabytes instead.
    #[schemars(range(min = 1))]
    pub memory_mb: Option<usize>,
    /// Reserve this fraction of the device instead. It counts what other roles have taken already.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub memory_fraction: Option<f32>,
    /// Tokens per block: 8, 16 or 32.
    #[schemars(extend("enum" = [8, 16, 32, null]))]
    pub block_size: Option<usize>,
    /// Cache data type: auto or f8e4m3.
    #[schemars(extend("enum" = ["auto", "f8e4m3", null]))]
    pub cache_type: Option<String>,
}

/// Whether PagedAttention is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PagedAttnMode {
    /// On for CUDA, off elsewhere.
    #[default]
    Auto,
    /// Required.
    On,
    /// Never.
    Off,
}

/// How a drafted step is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RewardConfig {
    /// An ordinary chat model grades the newest step; its expected grade, read in one forward pass, is the reward.
    Judge {
        /// Its own model. Without it the target's engine judges, which costs no memory.
        #[serde(default)]
        model: Option<Box<RoleConfig>>,
    },
    /// A small head, trained for this draft, reads the draft's own states while it writes: no second model, and no
    /// forward pass more. The draft must be a GGUF, bundled or in a local folder; its output matrix gets rows that
    /// yield the state, in a copy made once and cached beside it.
    Resident {
        /// `head.safetensors`, as `mistralrs-rsd prm train` writes it.
        #[schemars(extend("x-path" = "file"))]
        head: PathBuf,
    },
    /// A published process reward model, scored as its authors' code does, in an engine of its own.
    Prm {
        /// The model: a checkpoint as its authors ship it, on the hub or in a local folder. What mistral.rs needs to
        /// read its head is made once, in the cache, with links to the weights. Or one GGUF in a local folder.
        model: Box<RoleConfig>,
        /// For a GGUF of a model with a head, which a GGUF does not keep: the safetensors file that holds the head's
        /// tensors, or the folder of the checkpoint that the GGUF was made from.
        #[serde(default)]
        #[schemars(extend("x-path" = "file"))]
        head: Option<PathBuf>,
        /// Its kind, where its files and its name do not tell.
        #[serde(default)]
        format: PrmFormat,
        /// What stands between steps in its prompts, for `format: skywork`: a blank line, as in the release of RSD,
        /// or a line break, as on the model's card.
        #[serde(default)]
        #[schemars(length(min = 1))]
        separator: Option<String>,
    },
}

/// The kinds of published process reward models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum PrmFormat {
    /// Told by the model's files, or by its name.
    #[default]
    Auto,
    /// Skywork-o1-Open-PRM-Qwen-2.5-1.5B and -7B.
    Skywork,
    /// Qwen2.5-Math-PRM-7B and -72B, Qwen2.5-Math-7B-PRM800K.
    QwenPrm,
    /// Llama3.1-8B-PRM-Deepseek-Data and -Mistral-Data.
    Rlhflow,
    /// math-shepherd-mistral-7b-prm.
    MathShepherd,
    /// ReasonEval-7B and -34B.
    ReasonEval,
}

impl PrmFormat {
    /// The family named; none for `auto`.
    #[must_use]
    pub fn family(self) -> Option<Family> {
        match self {
            Self::Auto => None,
            Self::Skywork => Some(Family::Skywork),
            Self::QwenPrm => Some(Family::QwenPrm),
            Self::Rlhflow => Some(Family::Rlhflow),
            Self::MathShepherd => Some(Family::MathShepherd),
            Self::ReasonEval => Some(Family::ReasonEval),
        }
    }
}

impl Default for RewardConfig {
    fn default() -> Self {
        Self::Judge { model: None }
    }
}

/// How text is cut into steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StepsConfig {
    /// delimiter, sentence, tokens or token.
    pub unit: Unit,
    /// Strings that end a step, for `unit: delimiter`.
    #[schemars(inner(length(min = 1)))]
    pub delimiters: Vec<String>,
    /// Tokens in a step, for `unit: tokens`.
    #[schemars(range(min = 1, max = 100_000))]
    pub tokens: usize,
    /// A step longer than this is cut and counts as one.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_tokens: usize,
    /// How many steps the draft may write on while verdicts are pending.
    #[schemars(range(max = 64))]
    pub lookahead: usize,
}

/// What a step is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Text up to and including a delimiter.
    #[default]
    Delimiter,
    /// A sentence or a line.
    Sentence,
    /// A fixed number of tokens.
    Tokens,
    /// One token.
    Token,
}

impl Default for StepsConfig {
    fn default() -> Self {
        Self { unit: Unit::Delimiter, delimiters: vec!["\n\n".to_owned()], tokens: 32, max_tokens: 512, lookahead: 0 }
    }
}

/// Bounds on one request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Steps in an answer.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_steps: usize,
    /// Tokens in an answer where the request names no limit, and the most it may name.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_tokens: usize,
    /// Seconds a request may take from its start.
    #[schemars(range(min = 1, max = 604_800))]
    pub request_seconds: u64,
    /// Seconds a verdict may take before the step goes to the target.
    #[schemars(range(min = 1, max = 604_800))]
    pub reward_seconds: u64,
    /// Requests worked on at the same time.
    #[schemars(range(min = 1, max = 4096))]
    pub running: usize,
    /// Requests waiting for their turn; one more is answered 429.
    #[schemars(range(max = 1_000_000))]
    pub waiting: usize,
    /// Largest `n` of a request.
    #[schemars(range(min = 1, max = 128))]
    pub max_choices: usize,
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
        }
    }
}

/// The OpenAI endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address to listen on. Loopback unless named otherwise, unlike mistral.rs.
    #[schemars(length(min = 1))]
    pub host: String,
    /// Port.
    pub port: u16,
    /// Environment variable that holds the API key; clients send it as a bearer token.
    #[schemars(with = "Option<String>")]
    pub api_key_env: Option<Secret>,
    /// File that holds the API key.
    #[schemars(extend("x-path" = "file"))]
    pub api_key_file: Option<PathBuf>,
    /// Origins a browser may call from; none by default.
    #[schemars(inner(length(min = 1)))]
    pub cors_origins: Vec<String>,
    /// Largest request body in bytes.
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    pub body_limit: usize,
    /// Seconds running requests are given to finish on shutdown.
    #[schemars(range(max = 604_800))]
    pub drain_seconds: u64,
    /// The model name under which RSD answers, besides the target's own.
    #[schemars(length(min = 1))]
    pub model_name: String,
    /// Whether `/metrics` answers, without a key.
    pub metrics: bool,
    /// Whether target and draft read and write a little before the server is ready, so that their speeds are known
    /// before the first answer.
    pub probe: bool,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 1234,
            api_key_env: None,
            api_key_file: None,
            cors_origins: Vec::new(),
            body_limit: 2 << 20,
            drain_seconds: 30,
            model_name: "rsd".to_owned(),
            metrics: true,
            probe: true,
        }
    }
}

/// The admin listener: where an operator sees and changes what is hot. It never opens without tokens: where none are
/// named, `serve` makes some and leaves them in a file that only its owner may read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Whether it listens at all.
    pub enabled: bool,
    /// Address to listen on. Loopback unless named otherwise.
    #[schemars(length(min = 1))]
    pub host: String,
    /// Port.
    pub port: u16,
    /// Environment variable that holds the token that may read.
    #[schemars(with = "Option<String>")]
    pub read_token_env: Option<Secret>,
    /// File that holds it.
    #[schemars(extend("x-path" = "file"))]
    pub read_token_file: Option<PathBuf>,
    /// Environment variable that holds the token that may change things too.
    #[schemars(with = "Option<String>")]
    pub write_token_env: Option<Secret>,
    /// File that holds it.
    #[schemars(extend("x-path" = "file"))]
    pub write_token_file: Option<PathBuf>,
    /// Host names, besides loopback and `host`, under which it may be called.
    #[schemars(inner(length(min = 1)))]
    pub hosts: Vec<String>,
    /// Origins of web pages that may call it; none by default.
    #[schemars(inner(length(min = 1)))]
    pub origins: Vec<String>,
    /// Revisions kept in the history.
    #[schemars(range(min = 2, max = 100_000))]
    pub history: usize,
    /// File to which every attempt is appended, one JSON object per line.
    #[schemars(extend("x-path" = "file"))]
    pub audit_file: Option<PathBuf>,
    /// Recent requests kept for the operator to look at.
    #[schemars(range(max = 10_000))]
    pub traces: usize,
    /// Whether their text is kept too. Whoever holds the read token then reads what users ask.
    pub trace_text: bool,
    /// Judged steps kept for predictions.
    #[schemars(range(min = 100, max = 1_000_000))]
    pub recorded_steps: usize,
    /// Whether a changed deployment file is read again by itself; SIGHUP always does.
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
            history: 1000,
            audit_file: None,
            traces: 50,
            trace_text: false,
            recorded_steps: 4096,
            watch_file: true,
        }
    }
}
