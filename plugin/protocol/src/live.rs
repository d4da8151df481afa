//! The settings that can change while the server serves, and how they are changed.
//!
//! They stand at the same paths as in the deployment file, so that an operator has one set of names: `policy.delta`
//! in the YAML is `{"policy": {"delta": ..}}` here and `policy.delta` in every error.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    policy::{PolicyConfig, Preset},
    preview::Prediction,
};

/// Everything that is hot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Live {
    /// When a drafted step is kept; the next step judged uses it.
    pub policy: PolicyConfig,
    /// Policies of single model names.
    pub presets: Vec<Preset>,
    /// How steps are written; the next run of a model uses it.
    pub steps: LiveSteps,
    /// Bounds on one answer; the next step, or the next request, is held to it.
    pub limits: LiveLimits,
}

/// The hot part of `steps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveSteps {
    /// A step longer than this is cut and counts as one.
    pub max_tokens: usize,
    /// How many steps the draft may write on while verdicts are pending.
    pub lookahead: usize,
}

impl Default for LiveSteps {
    fn default() -> Self {
        Self { max_tokens: 512, lookahead: 0 }
    }
}

/// The hot part of `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveLimits {
    /// Steps in an answer.
    pub max_steps: usize,
    /// Tokens in an answer where the request names no limit, and the most it may name.
    pub max_tokens: usize,
}

impl Default for LiveLimits {
    fn default() -> Self {
        Self { max_steps: 100, max_tokens: 2048 }
    }
}

/// Answer of `GET /admin/v1/policy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyView {
    /// Counts changes since the server started, from 1. The `ETag` names it together with the server's start.
    pub revision: u64,
    /// What is in effect.
    pub values: Live,
    /// Every hot setting: where its value comes from and what it may hold.
    pub settings: Vec<Setting>,
    /// What judges the next step.
    pub in_force: InForce,
    /// The change that will be taken back by itself, if one is pending.
    pub reverts: Option<Revert>,
    /// Settings of the deployment file that differ from what runs and need a restart.
    pub restart_needed: Vec<String>,
}

/// One hot setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// Its path, such as `policy.delta`.
    pub path: String,
    /// Its value.
    pub value: Value,
    /// The layer that gave it.
    pub source: Source,
    /// Its meaning.
    pub description: String,
    /// number, integer, choice or list.
    pub kind: SettingKind,
    /// Lowest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<f64>,
    /// Highest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<f64>,
    /// Values of a choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

/// What a setting holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettingKind {
    /// Any number within the bounds.
    Number,
    /// A whole number within the bounds.
    Integer,
    /// One of the choices.
    Choice,
    /// A list.
    List,
}

/// The layer that gave a setting its value; each is stronger than the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "layer", rename_all = "snake_case")]
pub enum Source {
    /// No layer named it.
    Default,
    /// The deployment file.
    File,
    /// An environment variable.
    Env {
        /// Its name.
        name: String,
    },
    /// An option of the command line.
    Flag {
        /// Its name.
        name: String,
    },
    /// A change made while the server ran.
    Runtime {
        /// The change.
        revision: u64,
    },
}

/// The threshold that judges the next step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InForce {
    /// The threshold: `policy.delta`, or what the budget chose.
    pub delta: f64,
    /// The budget's state, where `policy.mode` is budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetState>,
}

/// Where a budget stands.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetState {
    /// The fraction of steps that is to go to the target.
    pub gamma: f64,
    /// The fraction that went there since the budget began.
    pub realised: f64,
    /// Steps judged since then.
    pub judged: u64,
    /// Whether it still judges by `policy.delta` because too few rewards were seen.
    pub warming_up: bool,
    /// Whether the floor or the ceiling keeps it from its aim.
    pub held: bool,
}

/// A change that will be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revert {
    /// The change.
    pub revision: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// Body of `PATCH /admin/v1/policy`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The settings to change, nested as in the deployment file; the others stay.
    pub set: Value,
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Who, for the history; nobody checks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Take the change back after so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub ttl_seconds: Option<u64>,
    /// Write the change into the deployment file too.
    #[serde(default)]
    pub persist: bool,
}

/// Body of `POST /admin/v1/policy/rollback`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The revision whose values are to hold again, as a new revision.
    pub revision: u64,
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Who, for the history; nobody checks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Body of `POST /admin/v1/policy/persist` and of `POST /admin/v1/policy/keep`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Noted {
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Who, for the history; nobody checks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Answer to a change, made or only tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    /// Whether nothing was changed because `dry_run` was asked for.
    pub dry_run: bool,
    /// The revision in force now. A change of nothing makes no new one.
    pub revision: u64,
    /// What is, or would be, different.
    pub differences: Vec<Difference>,
    /// What the recorded rewards say of it, for a `dry_run` that changes the threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Prediction>,
    /// What the operator should know: a setting that the next start will not have, for example.
    pub warnings: Vec<String>,
    /// The file that was written, with `persist`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persisted: Option<String>,
    /// When the change will be taken back, with a ttl.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverts: Option<Revert>,
}

/// One setting that changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// Its path.
    pub path: String,
    /// Its value before.
    pub old: Value,
    /// Its value after.
    pub new: Value,
}

/// One entry of `GET /admin/v1/policy/history`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Revision {
    /// Its number.
    pub revision: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What made it.
    pub cause: Cause,
    /// The address the change came from, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Who said to have made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What changed.
    pub differences: Vec<Difference>,
    /// When it will be, or was to be, taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverts_at_ms: Option<u64>,
    /// What held from then on.
    pub values: Live,
}

/// What made a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// The server's start.
    Start,
    /// A change over the admin API.
    Patch,
    /// A return to an earlier revision.
    Rollback {
        /// Which.
        to: u64,
    },
    /// A change that was made for a time has been taken back.
    Expiry {
        /// Which.
        of: u64,
    },
    /// The deployment file has changed.
    Reload,
}
