//! The RSD loop over three roles.
//!
//! The draft writes step after step in one run; every step is judged; an accepted step is shown and costs nothing
//! more; a rejected one ends the run, the target writes that step anew, and the draft goes on after it. At
//! `delta <= 0` the answer is the draft's alone, at `delta > 1` the target's alone, token for token.

mod answer;
pub mod observe;
pub mod roles;
pub mod segment;
mod session;
pub mod trace;
mod transcript;

#[cfg(test)]
pub(crate) mod tests;

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    flops::Parameters,
    policy::{Answers, Mode, Policy, PolicyConfig, PolicyHandle, Weighting},
    sampling::Sampling,
};
pub use answer::Answer;
use observe::Observer;
use roles::{Generator, Prompt, Reward, RoleError, TokenLogprob};
use segment::Boundary;
use trace::{StepTrace, Trace};

/// How answers are made, apart from what can change while the server serves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What ends a step.
    pub boundary: Boundary,
    /// How long a verdict may take.
    pub reward_timeout: Duration,
}

/// The three roles with a policy in force.
#[derive(Clone)]
pub struct Rsd {
    /// Writes every step first.
    pub draft: Arc<dyn Generator>,
    /// Rewrites steps that fail.
    pub target: Arc<dyn Generator>,
    /// Judges.
    pub reward: Arc<dyn Reward>,
    /// The policy in force.
    pub policy: Arc<PolicyHandle>,
    /// Who is told what happens.
    pub observer: Arc<dyn Observer>,
    /// Everything else.
    pub settings: Settings,
}

/// What one request changes of the policy in force.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Overrides {
    /// Its threshold.
    pub delta: Option<f64>,
    /// Its weighting function.
    pub weighting: Option<Weighting>,
    /// Who answers.
    pub answers: Option<Answers>,
}

impl Overrides {
    /// The policy as this request sees it.
    #[must_use]
    pub fn apply(&self, policy: Policy) -> Policy {
        // A threshold that a request brings is not the budget's to choose.
        let fixed = self.delta.is_some() || self.weighting.is_some();
        Policy {
            values: PolicyConfig {
                delta: self.delta.unwrap_or(policy.values.delta),
                weighting: self.weighting.unwrap_or(policy.values.weighting),
                answers: self.answers.unwrap_or(policy.values.answers),
                mode: if fixed { Mode::Fixed } else { policy.values.mode },
                ..policy.values
            },
            ..policy
        }
    }
}

/// One answer to be made.
#[derive(Debug, Clone)]
pub struct Request {
    /// What to continue.
    pub prompt: Prompt,
    /// Sampling parameters.
    pub sampling: Sampling,
    /// Most tokens of the answer.
    pub max_tokens: usize,
    /// Stop strings.
    pub stop: Vec<String>,
    /// The model name it was asked under; a preset of that name applies.
    pub model: Option<String>,
    /// What it changes of the policy.
    pub overrides: Overrides,
    /// Log-probabilities per token, for a model that answers alone.
    pub logprobs: Option<usize>,
    /// When to stop at the latest; the answer so far is then the answer.
    pub deadline: Option<tokio::time::Instant>,
}

/// Something was added to the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Text that can be shown now.
    pub text: String,
    /// The step, when one was completed.
    pub step: Option<StepTrace>,
    /// Log-probabilities of the step's tokens, where asked for.
    pub logprobs: Vec<TokenLogprob>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it, or a stop string appeared.
    Stop,
    /// A limit on tokens, steps or time.
    Length,
}

/// A finished answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Its text.
    pub text: String,
    /// Token ids in the vocabulary of the models that wrote them, step after step.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the answer.
    pub completion_tokens: usize,
    /// The account.
    pub trace: Trace,
    /// Log-probabilities, where asked for.
    pub logprobs: Vec<TokenLogprob>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    /// The request was cancelled.
    #[error("the request was cancelled")]
    Cancelled,
    /// A role could not do its work.
    #[error(transparent)]
    Role(#[from] RoleError),
}

impl Rsd {
    /// Makes one answer. Every step is reported to `progress` as it is accepted; a cancelled request frees all
    /// models within one token.
    ///
    /// # Errors
    /// The request does not fit, was cancelled, or the target failed. What was reported stays valid.
    pub async fn answer(
        &self,
        request: Request,
        progress: mpsc::UnboundedSender<Progress>,
        cancel: CancellationToken,
    ) -> Result<Outcome, PipelineError> {
        session::run(self, request, progress, cancel).await
    }

    /// Makes one answer and waits for it.
    ///
    /// # Errors
    /// As [`Rsd::answer`].
    pub async fn complete(&self, request: Request) -> Result<Outcome, PipelineError> {
        let (progress, _) = mpsc::unbounded_channel();
        self.answer(request, progress, CancellationToken::new()).await
    }

    /// Parameters of the three models, when all are known.
    #[must_use]
    pub fn parameters(&self) -> Option<Parameters> {
        Some(Parameters {
            draft: self.draft.parameters()?,
            reward: self.reward.parameters()?,
            target: self.target.parameters()?,
        })
    }
}
