//! Stores the newest requests, step by step, for the admin API.

use std::collections::VecDeque;

use parking_lot::Mutex;
use rsd_core::pipeline::{
    PipelineError,
    observe::{AnswerEnd, PipelineEvent, PipelineObserver},
    trace::{FallbackReason, StepSource, StepTrace},
};
use rsd_protocol::{
    clock::now_ms,
    trace::{RequestTrace, StepView, TraceSummary},
};

/// The newest requests.
#[derive(Debug)]
pub struct RecentTraces {
    traces: Mutex<VecDeque<RequestTrace>>,
    capacity: usize,
    with_text: bool,
}

impl RecentTraces {
    /// Stores up to `capacity` requests, with or without the text of questions and answers.
    #[must_use]
    pub fn new(capacity: usize, with_text: bool) -> Self {
        Self { traces: Mutex::default(), capacity, with_text }
    }

    /// Up to `limit` requests, newest first.
    pub(super) fn list(&self, limit: usize) -> Vec<TraceSummary> {
        self.traces.lock().iter().rev().take(limit).map(|trace| trace.summary.clone()).collect()
    }

    pub(super) fn find(&self, id: &str) -> Option<RequestTrace> {
        self.traces.lock().iter().find(|trace| trace.summary.id == id).cloned()
    }

    fn view(&self, step: &StepTrace) -> StepView {
        let text = |text: &String| self.with_text.then(|| text.clone());
        StepView {
            source: name(&step.source),
            tokens: step.tokens,
            text: text(&step.text),
            reward: step.reward,
            delta: step.delta,
            revision: step.revision,
            rejected_tokens: step.rejected.as_ref().map(|rejected| rejected.tokens),
            rejected_text: step.rejected.as_ref().and_then(|rejected| text(&rejected.text)),
            false_statement: step
                .rejected
                .as_ref()
                .and_then(|rejected| rejected.false_statement.as_ref())
                .and_then(text),
            fallback: step.fallback.as_ref().map(name),
            handover: step.handover.as_ref().map(name),
            draft_ms: step.draft_ms,
            reward_ms: step.reward_ms,
            target_ms: step.target_ms,
        }
    }
}

/// The name of an enum's value in JSON.
fn name(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|name| Some(name.as_str()?.to_owned())).unwrap_or_default()
}

impl PipelineObserver for RecentTraces {
    fn observe(&self, answer: u64, event: &PipelineEvent<'_>) {
        let PipelineEvent::AnswerEnded(ended) = event else { return };
        if self.capacity == 0 {
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
                sources: trace.steps.iter().map(source_letter).collect(),
            },
            question: self.with_text.then(|| ended.request.prompt.question().to_owned()),
            steps: trace.steps.iter().map(|step| self.view(step)).collect(),
        };
        let mut traces = self.traces.lock();
        if traces.len() >= self.capacity {
            traces.pop_front();
        }
        traces.push_back(trace);
    }
}

fn outcome(ended: &AnswerEnd<'_>) -> &'static str {
    match ended.error {
        None => "completed",
        Some(PipelineError::Cancelled) => "cancelled",
        Some(PipelineError::Role(_)) => "failed",
    }
}

fn source_letter(step: &StepTrace) -> char {
    match (step.source, step.fallback) {
        (StepSource::Draft, Some(FallbackReason::TargetFailed)) | (StepSource::Target, Some(_)) => 'f',
        (StepSource::Draft, _) => 'd',
        (StepSource::Target, None) if step.handover.is_some() => 'a',
        (StepSource::Target, None) => 't',
    }
}
