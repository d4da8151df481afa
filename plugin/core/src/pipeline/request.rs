//! What a client asks for: the prompt, how to sample, where to stop, and what it changes of the policy.

use rsd_protocol::settings::RuntimeLimits;

use crate::{
    policy::{AfterRejection, AnswerRoute, Policy, PolicyConfig, ThresholdMode, WeightingFunction},
    sampling::Sampling,
};

use super::roles::{ChatMessage, Prompt};

/// What one request changes of the policy in force; `None` leaves a setting as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PolicyOverrides {
    /// The threshold. A request that sets it is decided by a fixed threshold, never by the budget.
    pub delta: Option<f64>,
    /// The weighting function. It turns the budget off too.
    pub weighting: Option<WeightingFunction>,
    /// Which models answer.
    pub route: Option<AnswerRoute>,
    /// Which model goes on after a rejection.
    pub after_rejection: Option<AfterRejection>,
}

impl PolicyOverrides {
    /// The policy for this request.
    #[must_use]
    pub fn apply(&self, policy: Policy) -> Policy {
        // A threshold that a request brings is not the budget's to choose.
        let fixed = self.delta.is_some() || self.weighting.is_some();
        Policy {
            values: PolicyConfig {
                delta: self.delta.unwrap_or(policy.values.delta),
                weighting: self.weighting.unwrap_or(policy.values.weighting),
                route: self.route.unwrap_or(policy.values.route),
                after_rejection: self.after_rejection.unwrap_or(policy.values.after_rejection),
                mode: if fixed { ThresholdMode::Fixed } else { policy.values.mode },
                ..policy.values
            },
            ..policy
        }
    }
}

/// A request for one answer.
///
/// ```
/// use rsd_core::pipeline::{Request, roles::ChatMessage};
///
/// let request = Request::chat([ChatMessage::user("What is 17 * 23?")]).max_tokens(64).delta(0.5);
/// assert_eq!(request.overrides.delta, Some(0.5));
/// ```
#[derive(Debug, Clone)]
pub struct Request {
    /// The text or the messages to continue.
    pub prompt: Prompt,
    /// How tokens are chosen; greedy by default.
    pub sampling: Sampling,
    /// Limit on the tokens of the answer.
    pub max_tokens: usize,
    /// Strings that end the answer before they appear in it.
    pub stop: Vec<String>,
    /// The model name that the client used; a policy preset of that name applies.
    pub model: Option<String>,
    /// What the request changes of the policy.
    pub overrides: PolicyOverrides,
    /// Number of log-probabilities to report per token, for a model that answers alone; `None` reports none.
    pub logprobs: Option<usize>,
    /// When the answer ends at the latest; what exists by then is the answer.
    pub deadline: Option<tokio::time::Instant>,
}

impl Request {
    /// A greedy answer to a prompt, decided by the policy in force, with the default limit on tokens of a server.
    #[must_use]
    pub fn new(prompt: Prompt) -> Self {
        Self {
            prompt,
            sampling: Sampling::default(),
            max_tokens: RuntimeLimits::default().max_tokens,
            stop: Vec::new(),
            model: None,
            overrides: PolicyOverrides::default(),
            logprobs: None,
            deadline: None,
        }
    }

    /// An answer to chat messages, which every model renders with its own chat template.
    #[must_use]
    pub fn chat(messages: impl IntoIterator<Item = ChatMessage>) -> Self {
        Self::new(Prompt::Chat(messages.into_iter().collect()))
    }

    /// A continuation of plain text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Prompt::Text(text.into()))
    }

    /// The same request with another limit on tokens.
    #[must_use]
    pub fn max_tokens(mut self, max_tokens: usize) -> Self {
        self.max_tokens = max_tokens;
        self
    }

    /// The same request with other sampling parameters.
    #[must_use]
    pub fn sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = sampling;
        self
    }

    /// The same request with these stop strings.
    #[must_use]
    pub fn stop(mut self, stop: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.stop = stop.into_iter().map(Into::into).collect();
        self
    }

    /// The same request with a threshold of its own.
    #[must_use]
    pub fn delta(mut self, delta: f64) -> Self {
        self.overrides.delta = Some(delta);
        self
    }

    /// The same request, answered by these models.
    #[must_use]
    pub fn route(mut self, route: AnswerRoute) -> Self {
        self.overrides.route = Some(route);
        self
    }
}
