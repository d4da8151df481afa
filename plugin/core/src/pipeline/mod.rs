//! The RSD loop over a draft, a reward model and a target.
//!
//! The draft generates step after step in one run, and the reward model scores every step. An accepted step becomes
//! part of the answer at no further cost. A rejected step ends the run: the target generates that step instead, and
//! the draft resumes after it, or the target goes on to the end ([`crate::policy::handover`]). At `delta <= 0` the
//! answer is that of the draft alone, at `delta > 1` that of the target alone, token for token.

mod answer;
mod answer_sink;
pub mod flops;
pub mod live_text;
pub mod observe;
pub mod price;
pub mod prompt_reader;
mod prompt_score;
mod request;
pub mod roles;
pub mod segment;
mod session;
mod speculation;
pub mod step_builder;
#[cfg(any(test, feature = "test-support"))]
#[allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::return_self_not_must_use,
    reason = "helpers of tests"
)]
pub mod testing;
pub mod trace;
mod transcript;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use rsd_protocol::settings::TargetDownAction;
use tokio_util::sync::CancellationToken;

use crate::{pipeline::flops::ModelParameters, policy::PolicyHandle};
use answer::AnswerText;
pub use answer_sink::AnswerSink;
use answer_sink::ProgressCallback;
use observe::{ModelRole, PipelineObserver};
use price::RolePrices;
pub use prompt_score::PromptScore;
pub use request::{PolicyOverrides, Request};
use roles::{Generator, ModelHealth, RewardModel, RoleError, RunReport, TokenLogprob};
use segment::StepBoundary;
use trace::{AnswerTrace, StepSource, StepTrace};

/// Settings of the loop that cannot change while the server runs.
#[derive(Debug, Clone)]
pub struct PipelineSettings {
    /// What ends a step.
    pub boundary: StepBoundary,
    /// How long the reward model may take for one step. After that the step counts as not scored.
    pub reward_timeout: Duration,
    /// How many tokens the draft proposes at a time while the target decodes a step; 0 proposes none.
    pub proposals: usize,
}

/// The three models with the policy that decides between them.
#[derive(Clone)]
pub struct Rsd {
    /// Generates every step first.
    pub draft: Arc<dyn Generator>,
    /// Generates the steps that replace rejected ones.
    pub target: Arc<dyn Generator>,
    /// Scores every draft step.
    pub reward: Arc<dyn RewardModel>,
    /// The policy in force; it may be replaced while answers are generated.
    pub policy: Arc<PolicyHandle>,
    /// Receives an event for everything that happens to an answer.
    pub observer: Arc<dyn PipelineObserver>,
    /// Settings that stay the same while the server runs.
    pub settings: PipelineSettings,
}

/// A part of an answer that was just added.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AnswerProgress {
    /// Text that can be shown now. It may end before the step does, where a stop string or a character may still be
    /// completed by the next step.
    pub text: String,
    /// The step that was completed; `None` for text that was only held back before.
    pub step: Option<StepTrace>,
    /// Log-probabilities of the step's tokens, if the request asked for them.
    pub logprobs: Vec<TokenLogprob>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended it, or a stop string appeared.
    Stop,
    /// A limit on tokens, steps or time.
    Length,
}

/// A finished answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AnswerOutcome {
    /// The text, up to the first stop string.
    pub text: String,
    /// Token ids step after step, each in the vocabulary of the model that generated the step.
    pub tokens: Vec<u32>,
    /// Why the answer ended.
    pub finish: FinishReason,
    /// Number of tokens in the prompt.
    pub prompt_tokens: usize,
    /// How many of them a cache held; `None` if no model continued the prompt.
    pub cached_prompt_tokens: Option<usize>,
    /// Number of tokens in the answer.
    pub completion_tokens: usize,
    /// Every step with its reward, and the totals.
    pub trace: AnswerTrace,
    /// Log-probabilities of all tokens, if the request asked for them.
    pub logprobs: Vec<TokenLogprob>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    /// The request was cancelled.
    #[error("the request was cancelled")]
    Cancelled,
    /// A model failed, or the request does not fit it.
    #[error(transparent)]
    Role(#[from] RoleError),
}

impl Rsd {
    /// Generates one answer. `on_progress` is called with every step as it is accepted, on the task of this call, so it
    /// must not block. Cancelling, or dropping the returned future, frees all models within one token; the observer hears
    /// of both as a cancelled answer.
    ///
    /// # Errors
    /// The request does not fit the models, was cancelled, or the target failed. What `on_progress` received stays
    /// valid.
    pub async fn answer(
        &self,
        request: Request,
        on_progress: impl FnMut(AnswerProgress) + Send,
        cancel: CancellationToken,
    ) -> Result<AnswerOutcome, PipelineError> {
        self.answer_into(request, &mut ProgressCallback(on_progress), cancel).await
    }

    /// The same with a receiver that also hears when the prompt was accepted.
    ///
    /// # Errors
    /// As [`Self::answer`].
    pub async fn answer_into(
        &self,
        request: Request,
        sink: &mut dyn AnswerSink,
        cancel: CancellationToken,
    ) -> Result<AnswerOutcome, PipelineError> {
        session::run(self, request, sink, cancel).await
    }

    /// Generates one answer without reporting progress.
    ///
    /// # Errors
    /// The request does not fit the models, or the target failed.
    pub async fn complete(&self, request: Request) -> Result<AnswerOutcome, PipelineError> {
        self.answer(request, |_| {}, CancellationToken::new()).await
    }

    /// Whether the engines of the three models run; returns without waiting.
    #[must_use]
    pub fn health(&self) -> [(ModelRole, ModelHealth); 3] {
        [
            (ModelRole::Draft, self.draft.health()),
            (ModelRole::Reward, self.reward.health()),
            (ModelRole::Target, self.target.health()),
        ]
    }

    /// Lets `after_rejection: auto` learn the speed that a run shows.
    pub(crate) fn record_run(&self, source: StepSource, report: &RunReport) {
        let handover = self.policy.handover();
        match source {
            StepSource::Draft => handover.record_draft_run(&report.cost()),
            StepSource::Target => handover.record_target_run(&report.cost()),
        }
    }

    /// Whether the draft decodes the rest of an answer whose target failed.
    pub(crate) fn draft_stands_in(&self) -> bool {
        self.policy.current().settings.limits.on_target_down == TargetDownAction::Draft
    }

    /// What tokens of draft and target cost; `None` if no provider bills them, or in two currencies.
    #[must_use]
    pub fn prices(&self) -> Option<RolePrices> {
        RolePrices::new(self.draft.price(), self.target.price())
    }

    /// Parameters of the three models; `None` unless all are known.
    #[must_use]
    pub fn parameters(&self) -> Option<ModelParameters> {
        Some(ModelParameters {
            draft: self.draft.parameters()?,
            reward: self.reward.parameters()?,
            target: self.target.parameters()?,
        })
    }
}
