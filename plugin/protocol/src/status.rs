//! What the server is and how it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{live::InForce, policy::Answers, preview::UnitCosts};

/// Answer of `GET /admin/v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Version of the server.
    pub version: String,
    /// Changes with every start of the server.
    pub instance: String,
    /// When it started, in milliseconds since 1970.
    pub started_ms: u64,
    /// What its clock says now, in milliseconds since 1970: all times it tells are by this clock.
    pub now_ms: u64,
    /// Whether new requests are taken.
    pub ready: bool,
    /// Model names that answer.
    pub model_names: Vec<String>,
    /// The models.
    pub roles: Vec<RoleStatus>,
    /// Name of the reward.
    pub reward: String,
    /// Where the OpenAI endpoint and `/metrics` are.
    pub endpoint: String,
    /// Whether this token may change things.
    pub may_write: bool,
    /// Requests worked on.
    pub running: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Who answers.
    pub answers: Answers,
    /// The policy's revision.
    pub revision: u64,
    /// The threshold in force.
    pub in_force: InForce,
    /// Observed seconds per token.
    pub costs: UnitCosts,
    /// The deployment file.
    pub file: Option<String>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleStatus {
    /// draft, target or reward.
    pub role: String,
    /// Its name.
    pub model: String,
    /// Parameters without embeddings, where known.
    pub parameters: Option<u64>,
    /// Tokens it can hold; absent for a reward.
    pub context_length: Option<usize>,
}
