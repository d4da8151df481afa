//! What the server runs and in which state it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{policy::AnswerRoute, preview::UnitCosts, settings::ActiveThreshold};

/// Answer of `GET /admin/v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerStatus {
    /// The server's version.
    pub version: String,
    /// An id that differs at every start of the server.
    pub instance: String,
    /// When the server started, in milliseconds since 1970.
    pub started_ms: u64,
    /// The server's current time, in milliseconds since 1970. Every time in its answers is by this clock.
    pub now_ms: u64,
    /// Whether the server accepts new requests.
    pub ready: bool,
    /// The model names that requests may give.
    pub model_names: Vec<String>,
    /// The draft, the target and the reward model.
    pub roles: Vec<RoleStatus>,
    /// Name of the reward.
    pub reward: String,
    /// Address of the `OpenAI` API and of `/metrics`.
    pub endpoint: String,
    /// Whether the token of this request may change settings.
    pub may_write: bool,
    /// Requests in work.
    pub running: usize,
    /// Requests waiting for the models.
    pub waiting: usize,
    /// Which models answer.
    #[serde(alias = "answers")]
    pub route: AnswerRoute,
    /// The policy's revision.
    pub revision: u64,
    /// The active threshold.
    pub in_force: ActiveThreshold,
    /// Observed seconds per token.
    pub costs: UnitCosts,
    /// Path of the deployment file, if there is one.
    pub file: Option<String>,
}

/// One of the models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleStatus {
    /// `draft`, `target` or `reward`.
    pub role: String,
    /// The model's name.
    pub model: String,
    /// Parameters without the embeddings; absent if unknown.
    pub parameters: Option<u64>,
    /// Longest context in tokens; absent for a reward.
    pub context_length: Option<usize>,
}
