//! When a drafted step is kept, as an operator writes it: in the deployment file, and over the admin API.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who answers: the operator's big switch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Answers {
    /// The draft writes, the reward judges, the target rewrites.
    #[default]
    Rsd,
    /// The draft alone.
    Draft,
    /// The target alone.
    Target,
}

/// Where the threshold comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// `delta`, as it is written.
    #[default]
    Fixed,
    /// The quantile of recent rewards that sends `gamma` of the steps to the target.
    Budget,
}

/// omega: how a reward r in [0, 1] becomes the probability of keeping a drafted step (arXiv 2501.19324, section 3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// 1 when r >= delta, else 0: the paper's default and its optimum under a budget of target calls.
    #[default]
    Binary,
    /// p, whatever the reward.
    Constant,
    /// min(1, max(0, r)).
    Clipping,
    /// r / (1 + r).
    Sigmoidal,
    /// 1 / (1 + exp(-alpha (r - delta))).
    Logistic,
}

impl Weighting {
    /// Whether `delta` takes part.
    #[must_use]
    pub fn uses_delta(self) -> bool {
        matches!(self, Self::Binary | Self::Logistic)
    }
}

/// The policy section of a deployment file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// Who answers: rsd, or one of the models alone.
    pub answers: Answers,
    /// Where the threshold comes from: fixed, or a budget of steps for the target.
    pub mode: Mode,
    /// omega: how a reward becomes a probability of keeping the step.
    pub weighting: Weighting,
    /// The threshold: at 0 or below every step of the draft is kept, above 1 none is. With `mode: budget` it is the
    /// threshold until enough rewards were seen.
    #[schemars(range(min = -1.0, max = 2.0))]
    pub delta: f64,
    /// Probability of keeping a step, for `weighting: constant`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub p: f64,
    /// Steepness, for `weighting: logistic`.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1000))]
    pub alpha: f64,
    /// The fraction of steps that goes to the target, for `mode: budget`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub gamma: f64,
    /// Lowest threshold that `mode: budget` may choose.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub floor: f64,
    /// Highest threshold that `mode: budget` may choose.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ceiling: f64,
    /// Steps judged at `delta` before `mode: budget` chooses.
    #[schemars(range(min = 1, max = 10_000))]
    pub warm_up: u32,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            answers: Answers::Rsd,
            mode: Mode::Fixed,
            weighting: Weighting::Binary,
            delta: 0.7,
            p: 0.5,
            alpha: 10.0,
            gamma: 0.3,
            floor: 0.0,
            ceiling: 1.0,
            warm_up: 50,
        }
    }
}

/// Why a policy was refused.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyError {
    /// Which field.
    pub field: &'static str,
    /// What it may hold.
    pub expected: &'static str,
    /// What it held.
    pub found: String,
}

impl std::fmt::Display for PolicyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "policy.{}: expected {}, found {}", self.field, self.expected, self.found)
    }
}

impl std::error::Error for PolicyError {}

impl PolicyConfig {
    /// Refuses numbers that mean nothing, and settings that do not go together.
    ///
    /// # Errors
    /// The first field at fault.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let within = |value: f64, low: f64, high: f64| (low..=high).contains(&value);
        let number = |ok: bool, field, expected, found: f64| {
            if ok { Ok(()) } else { Err(PolicyError { field, expected, found: found.to_string() }) }
        };
        let delta = within(self.delta, -1.0, 2.0);
        number(delta, "delta", "a number from -1 to 2 (rewards lie in 0 to 1)", self.delta)?;
        number(within(self.p, 0.0, 1.0), "p", "a probability from 0 to 1", self.p)?;
        let alpha = within(self.alpha, f64::MIN_POSITIVE, 1000.0);
        number(alpha, "alpha", "a number above 0, at most 1000", self.alpha)?;
        number(within(self.gamma, 0.0, 1.0), "gamma", "a fraction of steps from 0 to 1", self.gamma)?;
        number(within(self.floor, 0.0, 1.0), "floor", "a threshold from 0 to 1", self.floor)?;
        number(within(self.ceiling, 0.0, 1.0), "ceiling", "a threshold from 0 to 1", self.ceiling)?;
        number(self.floor <= self.ceiling, "floor", "a threshold not above policy.ceiling", self.floor)?;
        let warm_up = (1..=10_000).contains(&self.warm_up);
        number(warm_up, "warm_up", "a number of steps from 1 to 10000", f64::from(self.warm_up))?;
        if self.mode == Mode::Budget && self.weighting != Weighting::Binary {
            return Err(PolicyError {
                field: "weighting",
                expected: "binary, the best weighting under a budget of target steps (policy.mode: budget)",
                found: self.weighting.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned()),
            });
        }
        Ok(())
    }
}

/// A model name with a policy of its own: what is left out is as in `policy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The model name that requests give. One that is not served yet is served from now on.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Who answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
    /// Its weighting function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weighting: Option<Weighting>,
    /// Its threshold; fixed, also where `policy.mode` is budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1.0, max = 2.0))]
    pub delta: Option<f64>,
}

impl Preset {
    /// The policy under this name.
    #[must_use]
    pub fn apply(&self, policy: PolicyConfig) -> PolicyConfig {
        let fixed = self.delta.is_some() || self.weighting.is_some();
        PolicyConfig {
            answers: self.answers.unwrap_or(policy.answers),
            mode: if fixed { Mode::Fixed } else { policy.mode },
            weighting: self.weighting.unwrap_or(policy.weighting),
            delta: self.delta.unwrap_or(policy.delta),
            ..policy
        }
    }
}
