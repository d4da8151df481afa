//! The settings of the reward: what scores a step, and what is checked in it.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PrmFamily, RemoteConfig, RoleConfig, SecretSource};

/// How a draft step is scored and checked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RewardConfig {
    /// What scores a step.
    #[serde(flatten)]
    pub scorer: RewardScorer,
    /// What is checked in a draft step without a model: arithmetic (the equations between numbers that it states) and
    /// python (the syntax of Python blocks that end in it).
    #[serde(default)]
    pub checks: Vec<CheckKind>,
    /// Whether a draft step in which a check finds something false is rejected, whatever its reward. A threshold that
    /// accepts every step accepts such a step too.
    #[serde(default)]
    pub reject_false: bool,
}

/// What a check of steps looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// The equations between numbers that a step states.
    Arithmetic,
    /// The syntax of Python blocks.
    Python,
}

/// What scores a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RewardScorer {
    /// A chat model grades the newest step. The reward is the expectation of its grade, from one forward pass.
    Judge {
        /// The chat model, in this process or, with `remote` and `tokenizer`, on a remote engine. Default: the target, which
        /// costs no memory.
        #[serde(default)]
        model: Option<Box<RoleConfig>>,
    },
    /// A small head that was trained for this draft scores its hidden states while it decodes, so that there is no
    /// second model and no further forward pass. The draft must be a GGUF, bundled or in a local folder. A copy of it
    /// whose output matrix has additional rows, which output the hidden state, is made once and cached. For a draft on a
    /// remote engine name `states`.
    Resident {
        /// Path of a head.safetensors, as `mistralrs-rsd prm train` writes it.
        #[schemars(extend("x-path" = "file"))]
        head: PathBuf,
        /// Where the hidden states of a draft on a remote engine come from.
        #[serde(default)]
        states: Option<Box<StatesConfig>>,
    },
    /// A published process reward model in an engine of its own. It scores as its authors' code does.
    Prm {
        /// The model: a checkpoint as its authors published it, on the hub or in a local folder, or one GGUF in a local
        /// folder. The files that mistral.rs needs for the head are made once, in the cache, with links to the weights. With
        /// `remote` and `tokenizer` it is on a remote engine; then `format` must be named.
        model: Box<RoleConfig>,
        /// The head of a model that is a GGUF, because a GGUF does not contain it: the safetensors file with the tensors
        /// of the head, or the folder of the checkpoint that the GGUF was made from.
        #[serde(default)]
        #[schemars(extend("x-path" = "file"))]
        head: Option<PathBuf>,
        /// The kind of model, if its files and its name do not show it.
        #[serde(default)]
        format: PrmFormat,
        /// The text between steps in prompts, for `format: skywork`: a blank line, as in the release of RSD, or a line
        /// break, as on the model card.
        #[serde(default)]
        #[schemars(length(min = 1))]
        separator: Option<String>,
    },
    /// A scorer of the user's own, which answers over HTTP.
    Http(HttpScorerConfig),
    /// The weighted mean of several rewards. One that has no opinion on a step leaves the others' weights.
    Weighted {
        /// The rewards and their weights.
        parts: Vec<WeightedScorer>,
    },
}

/// The head among a reward and its parts that reads the draft's hidden states.
#[derive(Debug, Clone, Copy)]
pub struct ResidentScorer<'a> {
    /// The file of the head.
    pub head: &'a Path,
    /// Where the states come from; `None` for a draft in this process.
    pub states: Option<&'a StatesConfig>,
}

impl RewardScorer {
    /// The head that reads the draft's states, if there is one.
    #[must_use]
    pub fn resident(&self) -> Option<ResidentScorer<'_>> {
        match self {
            Self::Resident { head, states } => Some(ResidentScorer { head, states: states.as_deref() }),
            Self::Weighted { parts } => parts.iter().find_map(|part| part.reward.resident()),
            Self::Judge { .. } | Self::Prm { .. } | Self::Http(_) => None,
        }
    }
}

/// The draft's model on an engine that returns hidden states. Its tokenizer, context and parameters are those of
/// `roles.draft`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatesConfig {
    /// The engine: llama.cpp's server with `--embeddings --pooling last`.
    pub remote: RemoteConfig,
}

/// A scorer that answers over HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpScorerConfig {
    /// Where it answers, such as `http://127.0.0.1:9000/score`.
    #[schemars(length(min = 1))]
    pub url: String,
    /// Environment variable with a token, which the scorer gets as a bearer token.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub token_env: Option<SecretSource>,
    /// File with the token.
    #[serde(default)]
    #[schemars(extend("x-path" = "file"))]
    pub token_file: Option<PathBuf>,
    /// Milliseconds that one attempt may take.
    #[serde(default = "HttpScorerConfig::default_timeout_ms")]
    #[schemars(range(min = 1, max = 600_000))]
    pub timeout_ms: u64,
    /// Attempts after a failed one. An answer that is not understood is not asked for again.
    #[serde(default = "HttpScorerConfig::default_retries")]
    #[schemars(range(max = 10))]
    pub retries: u32,
    /// Steps in one request, at most. With more than 1 the scorer gets `{"items": [...]}` and answers
    /// `{"rewards": [...]}`; the steps that arrive while it works on a request make the next one.
    #[serde(default = "HttpScorerConfig::default_max_batch")]
    #[schemars(range(min = 1, max = 1024))]
    pub max_batch: usize,
}

impl HttpScorerConfig {
    fn default_timeout_ms() -> u64 {
        10_000
    }

    fn default_retries() -> u32 {
        2
    }

    fn default_max_batch() -> usize {
        1
    }
}

/// A part of a weighted reward.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedScorer {
    /// Its weight against the other parts.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1000))]
    pub weight: f64,
    /// The reward: any kind but `weighted`.
    pub reward: RewardScorer,
}

/// The kind of a published process reward model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum PrmFormat {
    /// Detected from the files or the name of the model.
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
    /// The family; `None` for `auto`.
    #[must_use]
    pub fn family(self) -> Option<PrmFamily> {
        match self {
            Self::Auto => None,
            Self::Skywork => Some(PrmFamily::Skywork),
            Self::QwenPrm => Some(PrmFamily::QwenPrm),
            Self::Rlhflow => Some(PrmFamily::Rlhflow),
            Self::MathShepherd => Some(PrmFamily::MathShepherd),
            Self::ReasonEval => Some(PrmFamily::ReasonEval),
        }
    }
}

impl Default for RewardScorer {
    fn default() -> Self {
        Self::Judge { model: None }
    }
}
