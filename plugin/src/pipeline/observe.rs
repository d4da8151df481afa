//! What the loop reports while it works, for metrics, predictions and recent traces.
//!
//! Every verdict is reported exactly once and at once, whatever becomes of the request afterwards.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    PipelineError, Request,
    roles::{RunReport, Score},
    trace::{Fallback, Source, Trace},
};
use crate::policy::{Decision, Policy};

/// A number no answer had before.
pub(crate) fn new_answer() -> u64 {
    static ANSWERS: AtomicU64 = AtomicU64::new(0);
    ANSWERS.fetch_add(1, Ordering::Relaxed)
}

/// Somebody who wants to know. Called on the request's own task: must not block.
pub trait Observer: Send + Sync {
    /// Something happened to an answer; `answer` is different for each.
    fn observe(&self, answer: u64, event: &Event<'_>);
}

/// What may happen.
#[derive(Debug)]
pub enum Event<'a> {
    /// A drafted step was judged.
    Judged(&'a Judged),
    /// The target wrote the step that was rejected last.
    Replaced {
        /// Its tokens.
        tokens: usize,
    },
    /// Tokens became part of the answer.
    Emitted {
        /// Who wrote them.
        source: Source,
        /// How many.
        tokens: usize,
    },
    /// A run of the draft or the target ended.
    Ran {
        /// Whose.
        source: Source,
        /// What it cost.
        report: &'a RunReport,
    },
    /// The reward model gave a verdict.
    Scored(&'a Score),
    /// Tokens drafted ahead of a verdict were thrown away.
    Wasted {
        /// How many.
        tokens: usize,
    },
    /// The target writes a step, or the rest, because no verdict or no draft is to be had.
    Fallback(Fallback),
    /// A model did not do its work.
    Failed(Role),
    /// The answer is over.
    Ended(&'a Ended<'a>),
}

/// The three roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Writes every step first.
    Draft,
    /// Judges.
    Reward,
    /// Rewrites.
    Target,
}

impl From<Source> for Role {
    fn from(source: Source) -> Self {
        match source {
            Source::Draft => Self::Draft,
            Source::Target => Self::Target,
        }
    }
}

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// Tokens of the step.
    pub tokens: usize,
    /// The reward; absent where there was none.
    pub reward: Option<f64>,
    /// The policy that decided, with the threshold it decided by.
    pub policy: Policy,
    /// What it decided.
    pub decision: Decision,
}

/// How an answer ended.
#[derive(Debug)]
pub struct Ended<'a> {
    /// What was asked.
    pub request: &'a Request,
    /// Whether steps were judged: not where one model answered alone.
    pub judging: bool,
    /// Why there is no answer.
    pub error: Option<&'a PipelineError>,
    /// The account so far.
    pub trace: &'a Trace,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the prompt that the first run had to compute.
    pub prompt_prefilled: usize,
    /// Tokens of the answer.
    pub completion_tokens: usize,
}

/// Nobody wants to know.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn observe(&self, _: u64, _: &Event<'_>) {}
}

/// Several who want to know, told one after the other.
#[derive(Clone, Default)]
pub struct Fanout(pub Vec<Arc<dyn Observer>>);

impl Observer for Fanout {
    fn observe(&self, answer: u64, event: &Event<'_>) {
        for observer in &self.0 {
            observer.observe(answer, event);
        }
    }
}
