//! Recent requests, step by step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One request of `GET /admin/v1/traces`, which lists them newest first, those in work before those that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TraceSummary {
    pub id: String,
    /// When the request ended, in milliseconds since 1970; now, if it is in work.
    pub at_ms: u64,
    /// The model name that the request gave.
    pub model: String,
    /// `running`, `completed`, `cancelled` or `failed`.
    pub outcome: String,
    pub prompt_tokens: usize,
    pub completion_tokens: usize,
    /// Steps of the answer.
    pub steps: usize,
    /// Draft steps that were accepted.
    pub accepted_steps: usize,
    /// Draft steps that were rejected and replaced by the target's.
    pub rejected_steps: usize,
    /// Seconds from the start of the work on the request to its end; time spent waiting for the models is not in it.
    pub seconds: f64,
    /// One letter per step, in order: `d` for the draft's step, `t` for the target's, `a` for the target's after it went
    /// on alone, `f` for a fallback: the target's because no score was available, or the draft's because the target failed.
    pub sources: String,
}

/// Answer of `GET /admin/v1/traces/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestTrace {
    pub summary: TraceSummary,
    /// Absent if the server is configured to store no text.
    pub question: Option<String>,
    pub steps: Vec<StepView>,
    /// What comes after the last step of a request in work; absent if that is nothing, or if the server is configured to
    /// store no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<UnfinishedText>,
}

/// The step that is being decoded, after those that wait for their decision. A rejection takes it away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnfinishedText {
    /// The model at work: `draft` or `target`.
    pub source: String,
    /// The end of the text, at most 4096 bytes.
    pub text: String,
}

/// One step of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepView {
    /// The model that generated the step: `draft` or `target`.
    pub source: String,
    pub tokens: usize,
    /// Absent if the server is configured to store no text.
    pub text: Option<String>,
    /// The score of the draft's step; absent if it was not scored.
    pub reward: Option<f64>,
    /// The threshold that was active.
    pub delta: f64,
    /// The policy's revision that was active.
    pub revision: u64,
    /// Tokens of the draft's step, if it was rejected.
    pub rejected_tokens: Option<usize>,
    /// Text of the draft's step, if it was rejected; absent if the server is configured to store no text.
    pub rejected_text: Option<String>,
    /// What the draft's step states that is false, if that is why it was rejected; absent if the server is configured
    /// to store no text.
    pub false_statement: Option<String>,
    /// Why no score was available, if none was.
    pub fallback: Option<String>,
    /// Why the target decoded this step and all that follow: `rejection`, `threshold`, `price` or `regret`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handover: Option<String>,
    /// Milliseconds that the draft worked on this step.
    pub draft_ms: f64,
    /// Milliseconds that the reward model worked on this step.
    pub reward_ms: f64,
    /// Milliseconds that the target worked on this step.
    pub target_ms: f64,
}
