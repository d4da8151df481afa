//! The events that the loop reports while it works, for metrics, predictions and recent traces.
//!
//! Every decision is reported exactly once and immediately, whatever becomes of the request afterwards.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    PipelineError, Request,
    live_text::LiveText,
    roles::{RunReport, StepScore},
    trace::{AnswerTrace, FallbackReason, StepSource, StepTrace},
};
use crate::policy::{Decision, Policy, handover::HandoverReason};

/// A number that no answer of this process had before.
pub(crate) fn new_answer_id() -> u64 {
    static ANSWERS: AtomicU64 = AtomicU64::new(0);
    ANSWERS.fetch_add(1, Ordering::Relaxed)
}

/// Receives the events of all answers. It is called on the task of the request and must not block.
pub trait PipelineObserver: Send + Sync {
    /// Whether it shows the text of answers while it is decoded.
    fn watches_text(&self) -> bool {
        false
    }
    /// Receives one event of an answer; `answer` is the same number for all events of one answer.
    fn observe(&self, answer: u64, event: &PipelineEvent<'_>);
}

/// Something that happened to an answer.
#[derive(Debug)]
pub enum PipelineEvent<'a> {
    /// The models have accepted the prompt and begin.
    AnswerStarted {
        /// The request.
        request: &'a Request,
        /// Number of tokens in the prompt.
        prompt_tokens: usize,
        /// The text beyond its last step, if an observer watches it.
        live: Option<&'a LiveText>,
    },
    /// A step became part of the answer.
    StepAppended(&'a StepTrace),
    /// The policy decided on a draft step.
    StepDecided(&'a StepDecision),
    /// The target generated the step that replaces the last rejected one.
    StepReplaced {
        /// Tokens of the target's step.
        tokens: usize,
    },
    /// Tokens became part of the answer.
    TokensEmitted {
        /// The model that generated them.
        source: StepSource,
        /// Their number.
        tokens: usize,
    },
    /// A run of the draft or the target ended.
    RunFinished {
        /// The model that ran.
        source: StepSource,
        /// What the run cost.
        report: &'a RunReport,
    },
    /// The reward model scored a step.
    StepScored(&'a StepScore),
    /// Tokens that the draft generated ahead of a rejection were discarded.
    DraftDiscarded {
        /// Their number.
        tokens: usize,
    },
    /// A step, or the rest of the answer, goes on without a score or without one of the models.
    FellBack(FallbackReason),
    /// From here on the target decodes the rest of the answer.
    HandedOver(HandoverReason),
    /// The target decoded a step of such a rest.
    StepAlone {
        /// Tokens of the step.
        tokens: usize,
    },
    /// The answer is drafted although the target is expected to cost less; reported once per answer.
    Explored,
    /// A check found a false statement in the draft step that was just decided.
    FalseStatement,
    /// A model failed.
    ModelFailed(ModelRole),
    /// The answer is over.
    AnswerEnded(&'a AnswerEnd<'a>),
}

/// The role of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModelRole {
    /// Generates every step first.
    Draft,
    /// Scores steps.
    Reward,
    /// Replaces rejected steps.
    Target,
}

impl ModelRole {
    /// The name of the role in a deployment file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Reward => "reward",
            Self::Target => "target",
        }
    }
}

impl From<StepSource> for ModelRole {
    fn from(source: StepSource) -> Self {
        match source {
            StepSource::Draft => Self::Draft,
            StepSource::Target => Self::Target,
        }
    }
}

/// The decision on one draft step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepDecision {
    /// Tokens of the step.
    pub tokens: usize,
    /// The reward in [0, 1]; `None` if the step could not be scored.
    pub reward: Option<f64>,
    /// The policy that decided, with the threshold that it used.
    pub policy: Policy,
    /// Whether the step was accepted.
    pub decision: Decision,
}

/// How an answer ended.
#[derive(Debug)]
pub struct AnswerEnd<'a> {
    /// The request.
    pub request: &'a Request,
    /// Whether the route scored steps; false where one model answered alone.
    pub steps_scored: bool,
    /// Why there is no answer.
    pub error: Option<&'a PipelineError>,
    /// The steps so far, with the totals.
    pub trace: &'a AnswerTrace,
    /// Number of tokens in the prompt.
    pub prompt_tokens: usize,
    /// Prompt tokens that the first run had to compute because no cache held them.
    pub prompt_prefilled: usize,
    /// Number of tokens in the answer.
    pub completion_tokens: usize,
}

/// Ignores all events.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullObserver;

impl PipelineObserver for NullObserver {
    fn observe(&self, _: u64, _: &PipelineEvent<'_>) {}
}

/// Passes every event to several observers, in their order.
#[derive(Clone, Default)]
pub struct ObserverFanout(pub Vec<Arc<dyn PipelineObserver>>);

impl PipelineObserver for ObserverFanout {
    fn watches_text(&self) -> bool {
        self.0.iter().any(|observer| observer.watches_text())
    }

    fn observe(&self, answer: u64, event: &PipelineEvent<'_>) {
        for observer in &self.0 {
            observer.observe(answer, event);
        }
    }
}
