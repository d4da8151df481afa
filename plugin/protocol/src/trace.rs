//! Recent requests, step by step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One request, as `GET /admin/v1/traces` lists them, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TraceSummary {
    /// Its id.
    pub id: String,
    /// When it ended, in milliseconds since 1970.
    pub at_ms: u64,
    /// The model name it asked for.
    pub model: String,
    /// completed, cancelled or failed.
    pub outcome: String,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the answer.
    pub completion_tokens: usize,
    /// Steps of the answer.
    pub steps: usize,
    /// Drafted steps that stayed.
    pub accepted_steps: usize,
    /// Drafted steps that the target replaced.
    pub rejected_steps: usize,
    /// Seconds from its first work to its end.
    pub seconds: f64,
    /// One letter a step, in order: `d` the draft's, `t` the target's, `f` the target's because no verdict was to be
    /// had.
    pub sources: String,
}

/// Answer of `GET /admin/v1/traces/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestTrace {
    /// As in the list.
    pub summary: TraceSummary,
    /// The question; absent where the server keeps no text.
    pub question: Option<String>,
    /// Every step.
    pub steps: Vec<StepView>,
}

/// One step of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepView {
    /// draft or target.
    pub source: String,
    /// Its tokens.
    pub tokens: usize,
    /// Its text; absent where the server keeps no text.
    pub text: Option<String>,
    /// The verdict on the drafted step.
    pub reward: Option<f64>,
    /// The threshold in force.
    pub delta: f64,
    /// The policy's revision in force.
    pub revision: u64,
    /// Tokens of the drafted step that was replaced.
    pub rejected_tokens: Option<usize>,
    /// Its text; absent where the server keeps no text.
    pub rejected_text: Option<String>,
    /// Why there was no verdict.
    pub fallback: Option<String>,
    /// Milliseconds of the draft.
    pub draft_ms: f64,
    /// Milliseconds of the reward model.
    pub reward_ms: f64,
    /// Milliseconds of the target.
    pub target_ms: f64,
}
