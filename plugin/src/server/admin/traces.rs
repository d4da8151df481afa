//! The newest requests, step by step, for an operator to look at.

use std::collections::VecDeque;

use parking_lot::Mutex;
use rsd_protocol::trace::{RequestTrace, StepView, TraceSummary};

use crate::{
    control::now_ms,
    pipeline::{
        PipelineError,
        observe::{Ended, Event, Observer},
        trace::{Source, StepTrace},
    },
};

/// The newest requests.
#[derive(Debug)]
pub struct RecentTraces {
    kept: Mutex<VecDeque<RequestTrace>>,
    most: usize,
    text: bool,
}

impl RecentTraces {
    /// Keeps so many, with or without what was asked and answered.
    #[must_use]
    pub fn new(most: usize, text: bool) -> Self {
        Self { kept: Mutex::default(), most, text }
    }

    /// Newest first.
    pub(super) fn list(&self, most: usize) -> Vec<TraceSummary> {
        self.kept.lock().iter().rev().take(most).map(|trace| trace.summary.clone()).collect()
    }

    pub(super) fn find(&self, id: &str) -> Option<RequestTrace> {
        self.kept.lock().iter().find(|trace| trace.summary.id == id).cloned()
    }

    fn view(&self, step: &StepTrace) -> StepView {
        let text = |text: &String| self.text.then(|| text.clone());
        StepView {
            source: name(&step.source),
            tokens: step.tokens,
            text: text(&step.text),
            reward: step.reward,
            delta: step.delta,
            revision: step.revision,
            rejected_tokens: step.rejected.as_ref().map(|rejected| rejected.tokens),
            rejected_text: step.rejected.as_ref().and_then(|rejected| text(&rejected.text)),
            fallback: step.fallback.as_ref().map(name),
            draft_ms: step.draft_ms,
            reward_ms: step.reward_ms,
            target_ms: step.target_ms,
        }
    }
}

/// The name that the trace of an answer gives it.
fn name(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|name| Some(name.as_str()?.to_owned())).unwrap_or_default()
}

impl Observer for RecentTraces {
    fn observe(&self, answer: u64, event: &Event<'_>) {
        let Event::Ended(ended) = event else { return };
        if self.most == 0 {
            return;
        }
        let trace = ended.trace;
        let trace = RequestTrace {
            summary: TraceSummary {
                id: answer.to_string(),
                at_ms: now_ms(),
                model: ended.request.model.clone().unwrap_or_default(),
                outcome: outcome(ended).to_owned(),
                prompt_tokens: ended.prompt_tokens,
                completion_tokens: ended.completion_tokens,
                steps: trace.steps.len(),
                accepted_steps: trace.totals.accepted_steps,
                rejected_steps: trace.totals.rejected_steps,
                seconds: trace.totals.seconds,
                sources: trace.steps.iter().map(letter).collect(),
            },
            question: self.text.then(|| ended.request.prompt.question().to_owned()),
            steps: trace.steps.iter().map(|step| self.view(step)).collect(),
        };
        let mut kept = self.kept.lock();
        if kept.len() >= self.most {
            kept.pop_front();
        }
        kept.push_back(trace);
    }
}

fn outcome(ended: &Ended<'_>) -> &'static str {
    match ended.error {
        None => "completed",
        Some(PipelineError::Cancelled) => "cancelled",
        Some(PipelineError::Role(_)) => "failed",
    }
}

fn letter(step: &StepTrace) -> char {
    match (step.source, step.fallback) {
        (Source::Draft, _) => 'd',
        (Source::Target, None) => 't',
        (Source::Target, Some(_)) => 'f',
    }
}
