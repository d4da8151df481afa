//! The policy settings, which say when a draft step is accepted, as in the deployment file and in the admin API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which models answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum AnswerRoute {
    /// The draft generates steps, the reward model scores them, and the target replaces those that are rejected.
    #[default]
    Rsd,
    /// The draft alone.
    Draft,
    /// The target alone.
    Target,
}

/// Where the threshold comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum ThresholdMode {
    /// The value of `delta`.
    #[default]
    Fixed,
    /// The quantile of recent rewards at which the target generates the fraction `target_rate` of the steps.
    Budget,
}

/// Which model goes on after a rejected step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum AfterRejection {
    /// The draft, after one step of the target: the loop of the paper.
    Draft,
    /// The target, to the end of the answer.
    Target,
    /// Whichever is expected to cost less time, at the start of an answer too.
    #[default]
    Auto,
}

impl AfterRejection {
    /// The name in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Target => "target",
            Self::Auto => "auto",
        }
    }
}

/// omega: how a reward r in [0, 1] becomes the probability of accepting a draft step (arXiv 2501.19324, section 3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum WeightingFunction {
    /// 1 if r >= delta, else 0: the paper's default and its optimum under a budget of target calls.
    #[default]
    Binary,
    /// `constant_probability` for every reward.
    Constant,
    /// min(1, max(0, r)).
    Clipping,
    /// r / (1 + r).
    Sigmoidal,
    /// 1 / (1 + exp(-`logistic_steepness` (r - delta))).
    Logistic,
}

impl WeightingFunction {
    /// Whether the probability depends on `delta`.
    #[must_use]
    pub fn uses_delta(self) -> bool {
        matches!(self, Self::Binary | Self::Logistic)
    }

    /// The name in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Constant => "constant",
            Self::Clipping => "clipping",
            Self::Sigmoidal => "sigmoidal",
            Self::Logistic => "logistic",
        }
    }
}

/// The policy section of a deployment file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// Which models answer: both (rsd), or one of them alone.
    #[serde(alias = "answers")]
    pub route: AnswerRoute,
    /// Where the threshold comes from: fixed, or chosen so that the target generates a given fraction of the steps.
    pub mode: ThresholdMode,
    /// omega: how a reward becomes the probability of accepting the step.
    pub weighting: WeightingFunction,
    /// The threshold: at 0 or below every draft step is accepted, above 1 none is. With `mode: budget` it is the
    /// threshold until enough rewards were recorded.
    #[schemars(range(min = -1.0, max = 2.0))]
    pub delta: f64,
    /// The threshold rises linearly from 0 to `delta` over this many tokens of an answer, the step itself included;
    /// with 0 it is `delta` from the first step on. `mode: budget` ignores it.
    #[schemars(range(min = 0, max = 10_000))]
    pub ramp_tokens: u32,
    /// Probability of accepting a step, for `weighting: constant`.
    #[serde(alias = "p")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub constant_probability: f64,
    /// Steepness of the curve, for `weighting: logistic`.
    #[serde(alias = "alpha")]
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1000))]
    pub logistic_steepness: f64,
    /// The fraction of steps that the target generates, for `mode: budget`.
    #[serde(alias = "gamma")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub target_rate: f64,
    /// Lowest threshold that `mode: budget` may choose.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub floor: f64,
    /// Highest threshold that `mode: budget` may choose.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ceiling: f64,
    /// Decisions at `delta` before `mode: budget` chooses the threshold.
    #[schemars(range(min = 1, max = 10_000))]
    pub warm_up: u32,
    /// Which model goes on after a rejected step: the draft (the paper's loop), the target to the end of the answer, or
    /// whichever is expected to cost less time (auto).
    pub after_rejection: AfterRejection,
    /// With `after_rejection: auto`, the fraction of answers that are drafted against the expected costs, a fifth of them
    /// to the end and the others until their first rejection, so that changes of rewards and speeds are noticed.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub exploration: f64,
    /// The target goes on alone before an answer would cost more than 1 + `max_regret` times what the target alone is
    /// expected to cost; `null` sets no bound.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub max_regret: Option<f64>,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            route: AnswerRoute::Rsd,
            mode: ThresholdMode::Fixed,
            weighting: WeightingFunction::Binary,
            delta: 0.7,
            ramp_tokens: 0,
            constant_probability: 0.5,
            logistic_steepness: 10.0,
            target_rate: 0.3,
            floor: 0.0,
            ceiling: 1.0,
            warm_up: 50,
            after_rejection: AfterRejection::Auto,
            exploration: 0.05,
            max_regret: None,
        }
    }
}

/// An invalid policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyError {
    /// The field, without `policy.`.
    pub field: &'static str,
    /// What the field accepts.
    pub expected: &'static str,
    pub found: String,
}

impl std::fmt::Display for PolicyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "policy.{}: expected {}, found {}", self.field, self.expected, self.found)
    }
}

impl std::error::Error for PolicyError {}

impl PolicyConfig {
    /// The policy for a step with which the answer has this many tokens: `delta` is lower where the threshold still
    /// rises. A threshold that accepts every step or none stays as it is, and so does that of `mode: budget`.
    #[must_use]
    pub fn at(&self, tokens: usize) -> Self {
        let ramp = self.ramp_tokens as usize;
        if tokens >= ramp || self.mode == ThresholdMode::Budget || self.delta <= 0.0 || self.delta > 1.0 {
            return *self;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 10,000 tokens")]
        let risen = tokens.max(1) as f64 / ramp as f64;
        Self { delta: self.delta * risen, ..*self }
    }

    /// Checks that every number is in its range and that the settings go together.
    ///
    /// # Errors
    /// The first invalid field.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let within = |value: f64, low: f64, high: f64| (low..=high).contains(&value);
        let number = |ok: bool, field, expected, found: f64| {
            if ok { Ok(()) } else { Err(PolicyError { field, expected, found: found.to_string() }) }
        };
        let delta = within(self.delta, -1.0, 2.0);
        number(delta, "delta", "a number from -1 to 2 (rewards lie in 0 to 1)", self.delta)?;
        let ramp_tokens = f64::from(self.ramp_tokens);
        number(self.ramp_tokens <= 10_000, "ramp_tokens", "a number of tokens from 0 to 10000", ramp_tokens)?;
        let probability = self.constant_probability;
        number(within(probability, 0.0, 1.0), "constant_probability", "a probability from 0 to 1", probability)?;
        let steepness = within(self.logistic_steepness, f64::MIN_POSITIVE, 1000.0);
        number(steepness, "logistic_steepness", "a number above 0, at most 1000", self.logistic_steepness)?;
        let target_rate = within(self.target_rate, 0.0, 1.0);
        number(target_rate, "target_rate", "a fraction of steps from 0 to 1", self.target_rate)?;
        number(within(self.floor, 0.0, 1.0), "floor", "a threshold from 0 to 1", self.floor)?;
        number(within(self.ceiling, 0.0, 1.0), "ceiling", "a threshold from 0 to 1", self.ceiling)?;
        number(self.floor <= self.ceiling, "floor", "a threshold not above policy.ceiling", self.floor)?;
        let warm_up = (1..=10_000).contains(&self.warm_up);
        number(warm_up, "warm_up", "a number of steps from 1 to 10000", f64::from(self.warm_up))?;
        let exploration = within(self.exploration, 0.0, 1.0);
        number(exploration, "exploration", "a fraction of answers from 0 to 1", self.exploration)?;
        let max_regret = self.max_regret.unwrap_or(0.0);
        number(within(max_regret, 0.0, 100.0), "max_regret", "null or a number from 0 to 100", max_regret)?;
        if self.mode == ThresholdMode::Budget && self.weighting != WeightingFunction::Binary {
            return Err(PolicyError {
                field: "weighting",
                expected: "binary, the best weighting under a budget of target steps (policy.mode: budget)",
                found: self.weighting.name().to_owned(),
            });
        }
        Ok(())
    }
}

/// A model name with its own policy. Absent fields are as in `policy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyPreset {
    /// The model name that requests give. The server also serves names that are new.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Which models answer.
    #[serde(default, alias = "answers", skip_serializing_if = "Option::is_none")]
    pub route: Option<AnswerRoute>,
    /// The weighting function; the preset's mode is then `fixed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weighting: Option<WeightingFunction>,
    /// The threshold; the preset's mode is then `fixed`, even if `policy.mode` is `budget`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1.0, max = 2.0))]
    pub delta: Option<f64>,
    /// Which model goes on after a rejected step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_rejection: Option<AfterRejection>,
}

impl PolicyPreset {
    /// The policy for requests with this model name.
    #[must_use]
    pub fn apply(&self, policy: PolicyConfig) -> PolicyConfig {
        let fixed = self.delta.is_some() || self.weighting.is_some();
        PolicyConfig {
            route: self.route.unwrap_or(policy.route),
            mode: if fixed { ThresholdMode::Fixed } else { policy.mode },
            weighting: self.weighting.unwrap_or(policy.weighting),
            delta: self.delta.unwrap_or(policy.delta),
            after_rejection: self.after_rejection.unwrap_or(policy.after_rejection),
            ..policy
        }
    }
}
