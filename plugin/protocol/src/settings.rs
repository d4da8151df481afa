//! The runtime settings, which can change while the server runs, and the requests that change them.
//!
//! They have the same paths as in the deployment file, so that an operator needs only one set of names: `policy.delta`
//! in the YAML is `{"policy": {"delta": ..}}` here and `policy.delta` in every error message.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    policy::{PolicyConfig, PolicyPreset},
    preview::ChangePrediction,
};

/// Every runtime setting with its value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RuntimeSettings {
    /// When a draft step is accepted; applies from the next decision on.
    pub policy: PolicyConfig,
    /// Policies of single model names; they override `policy`.
    pub presets: Vec<PolicyPreset>,
    /// How steps are generated; applies from the next step on.
    pub steps: RuntimeSteps,
    /// Limits of one answer; apply from the next step or request on.
    pub limits: RuntimeLimits,
}

/// The runtime settings of `steps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuntimeSteps {
    /// Tokens after which a step is cut; the part before counts as one step.
    pub max_tokens: usize,
    /// How many steps the draft may decode ahead while scores are pending.
    pub lookahead: usize,
}

impl Default for RuntimeSteps {
    fn default() -> Self {
        Self { max_tokens: 512, lookahead: 0 }
    }
}

/// The runtime settings of `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuntimeLimits {
    /// Steps of an answer.
    pub max_steps: usize,
    /// Tokens of an answer if the request sets no limit; a higher limit of a request is lowered to it.
    pub max_tokens: usize,
    /// What becomes of an answer whose target fails.
    #[serde(default)]
    pub on_target_down: TargetDownAction,
}

impl Default for RuntimeLimits {
    fn default() -> Self {
        Self { max_steps: 100, max_tokens: 2048, on_target_down: TargetDownAction::default() }
    }
}

/// What becomes of an answer whose target fails, after all retries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetDownAction {
    /// The request fails.
    #[default]
    Fail,
    /// The draft decodes the rest, without scores.
    Draft,
}

/// Answer of `GET /admin/v1/policy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyView {
    /// Counts the changes since the server started, from 1. The `ETag` combines it with the server's `instance`.
    pub revision: u64,
    /// The values in effect.
    pub values: RuntimeSettings,
    /// Every runtime setting with the source of its value and the values it accepts.
    pub settings: Vec<SettingInfo>,
    /// The threshold of the next decision.
    pub in_force: ActiveThreshold,
    /// The change that will be reverted automatically, if there is one.
    pub reverts: Option<ScheduledRevert>,
    /// Settings of the deployment file that differ from the running ones and take effect only at a restart.
    pub restart_needed: Vec<String>,
}

/// One runtime setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SettingInfo {
    /// The setting's path, such as `policy.delta`.
    pub path: String,
    pub value: Value,
    /// The configuration layer that the value comes from.
    pub source: SettingSource,
    /// What the setting does.
    pub description: String,
    /// The type of the value.
    pub kind: SettingKind,
    /// The lowest value it accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    /// The highest value it accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<f64>,
    /// The values it accepts, if it is a choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

/// The type of a setting's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettingKind {
    /// A number within the bounds.
    Number,
    /// A whole number within the bounds.
    Integer,
    /// One of `choices`.
    Choice,
    List,
}

/// The configuration layer that a value comes from. Each layer overrides the ones before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "layer", rename_all = "snake_case")]
pub enum SettingSource {
    /// The built-in default.
    Default,
    /// The deployment file.
    File,
    /// An environment variable.
    Env { name: String },
    /// An option of the command line.
    Flag { name: String },
    /// A change that was made while the server ran.
    Runtime {
        /// The revision that the change made.
        revision: u64,
    },
}

/// The threshold of the next decision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActiveThreshold {
    /// The threshold: `policy.delta`, or the one that `policy.mode: budget` chose.
    pub delta: f64,
    /// The state of `policy.mode: budget`; absent in the other mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetState>,
}

/// The state of `policy.mode: budget`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetState {
    /// The fraction of steps that the target should generate.
    #[serde(alias = "gamma")]
    pub target_rate: f64,
    /// The fraction of steps that the target has generated since the mode began.
    #[serde(alias = "realised")] // The former name, in its spelling.
    pub observed_rate: f64,
    /// Decisions since the mode began.
    #[serde(alias = "judged")]
    pub decided_steps: u64,
    /// Whether `policy.delta` is still the threshold, because too few rewards were recorded.
    pub warming_up: bool,
    /// Whether `policy.floor` or `policy.ceiling` keeps the observed rate from the target rate.
    #[serde(alias = "held")]
    pub saturated: bool,
}

/// A change that will be reverted automatically.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduledRevert {
    /// The revision that the change made.
    pub revision: u64,
    /// When it will be reverted, in milliseconds since 1970.
    pub at_ms: u64,
}

/// Body of `PATCH /admin/v1/policy`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyChange {
    /// The settings to change, nested as in the deployment file; the others stay as they are.
    pub set: Value,
    /// The reason, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Who makes the change, for the history; the server does not verify it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Revert the change after this many seconds unless it is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub ttl_seconds: Option<u64>,
    /// Also write the change into the deployment file.
    #[serde(default)]
    pub persist: bool,
}

/// Body of `POST /admin/v1/policy/rollback`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The revision whose values take effect again, as a new revision.
    pub revision: u64,
    /// The reason, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Who makes the change, for the history; the server does not verify it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Body of `POST /admin/v1/policy/persist` and of `POST /admin/v1/policy/confirm`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeNote {
    /// The reason, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Who makes the change, for the history; the server does not verify it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Answer to a change or to a dry run of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeResult {
    /// Whether this was a dry run, which changes nothing.
    pub dry_run: bool,
    /// The revision in effect now. A change without differences makes no new one.
    pub revision: u64,
    /// What the change does, or would do.
    pub differences: Vec<SettingDifference>,
    /// What the recorded rewards predict, for a dry run that changes the threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<ChangePrediction>,
    /// What the operator should know, for example that a restart will not have the new value.
    pub warnings: Vec<String>,
    /// Path of the deployment file, if the change was written into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persisted: Option<String>,
    /// When the change will be reverted, with `ttl_seconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverts: Option<ScheduledRevert>,
}

/// One setting that changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SettingDifference {
    /// The setting's path, such as `policy.delta`.
    pub path: String,
    pub old: Value,
    pub new: Value,
}

/// One entry of `GET /admin/v1/policy/history`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyRevision {
    pub revision: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    pub cause: RevisionCause,
    /// Address of the client that made the change; absent if the server made it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The name that the client gave; the server does not verify it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The reason that the client gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    pub differences: Vec<SettingDifference>,
    /// When the change will be, or would have been, reverted, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverts_at_ms: Option<u64>,
    /// All values from this revision on.
    pub values: RuntimeSettings,
}

/// What made a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RevisionCause {
    /// The server has started.
    Start,
    /// A client changed settings over the admin API.
    Patch,
    /// A client returned to an earlier revision.
    Rollback {
        /// The earlier revision.
        to: u64,
    },
    /// A change with `ttl_seconds` was not confirmed and has been reverted.
    Expiry {
        /// The revision that the reverted change had made.
        of: u64,
    },
    /// The deployment file has changed.
    Reload,
}
