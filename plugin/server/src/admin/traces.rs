//! Stores the requests in work and the newest that ended, step by step, for the admin API.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use parking_lot::Mutex;
use rsd_core::pipeline::{
    PipelineError, Request,
    live_text::LiveText,
    observe::{AnswerEnd, PipelineEvent, PipelineObserver},
    trace::{FallbackReason, StepSource, StepTrace},
};
use rsd_protocol::{
    clock::now_ms,
    trace::{RequestTrace, StepView, TraceSummary, UnfinishedText},
};

/// The requests in work and the newest that ended.
#[derive(Debug)]
pub struct RecentTraces {
    traces: Mutex<StoredTraces>,
    capacity: usize,
    with_text: bool,
}

#[derive(Debug, Default)]
struct StoredTraces {
    /// By the number of the answer, so the oldest is first.
    running: BTreeMap<u64, RunningTrace>,
    ended: VecDeque<RequestTrace>,
}

/// A request in work, with the steps of its answer so far.
#[derive(Debug)]
struct RunningTrace {
    trace: RequestTrace,
    began: Instant,
    live: Option<LiveText>,
}

impl RunningTrace {
    fn now(&self) -> RequestTrace {
        let mut trace = self.trace.clone();
        trace.summary.at_ms = now_ms();
        trace.summary.seconds = self.began.elapsed().as_secs_f64();
        trace
    }

    /// The same with the text after its last step.
    fn now_with_text(&self) -> RequestTrace {
        let newest = self.live.as_ref().and_then(LiveText::newest);
        let unfinished = newest.map(|(source, text)| UnfinishedText { source: name(&source), text });
        RequestTrace { unfinished, ..self.now() }
    }
}

impl RecentTraces {
    /// Stores up to `capacity` requests that ended, and as many in work, with or without the text of questions and
    /// answers.
    #[must_use]
    pub fn new(capacity: usize, with_text: bool) -> Self {
        Self { traces: Mutex::default(), capacity, with_text }
    }

    /// Up to `limit` requests, newest first; those in work before those that ended.
    pub(super) fn list(&self, limit: usize) -> Vec<TraceSummary> {
        let traces = self.traces.lock();
        let running = traces.running.values().rev().map(|running| running.now().summary);
        running.chain(traces.ended.iter().rev().map(|trace| trace.summary.clone())).take(limit).collect()
    }

    pub(super) fn find(&self, id: &str) -> Option<RequestTrace> {
        let traces = self.traces.lock();
        let running = id.parse().ok().and_then(|id: u64| traces.running.get(&id)).map(RunningTrace::now_with_text);
        running.or_else(|| traces.ended.iter().find(|trace| trace.summary.id == id).cloned())
    }

    fn start(&self, answer: u64, request: &Request, prompt_tokens: usize, live: Option<&LiveText>) {
        let summary = TraceSummary {
            id: answer.to_string(),
            at_ms: now_ms(),
            model: request.model.clone().unwrap_or_default(),
            outcome: "running".to_owned(),
            prompt_tokens,
            completion_tokens: 0,
            steps: 0,
            accepted_steps: 0,
            rejected_steps: 0,
            seconds: 0.0,
            sources: String::new(),
        };
        let question = self.with_text.then(|| request.prompt.question().into_owned());
        let trace = RequestTrace { summary, question, steps: Vec::new(), unfinished: None };
        // Another observer may watch the text although this one stores none.
        let live = live.filter(|_| self.with_text).cloned();
        let mut traces = self.traces.lock();
        traces.running.insert(answer, RunningTrace { trace, began: Instant::now(), live });
        // More requests may be in work than are stored.
        while traces.running.len() > self.capacity {
            traces.running.pop_first();
        }
    }

    fn append(&self, answer: u64, step: &StepTrace) {
        let mut traces = self.traces.lock();
        let Some(RunningTrace { trace, .. }) = traces.running.get_mut(&answer) else { return };
        let summary = &mut trace.summary;
        summary.steps += 1;
        summary.completion_tokens += step.tokens;
        summary.accepted_steps += usize::from(step.source == StepSource::Draft && step.reward.is_some());
        summary.rejected_steps += usize::from(step.rejected.is_some());
        summary.sources.push(source_letter(step));
        trace.steps.push(self.view(step));
    }

    fn end(&self, answer: u64, ended: &AnswerEnd<'_>) {
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
            question: self.with_text.then(|| ended.request.prompt.question().into_owned()),
            steps: trace.steps.iter().map(|step| self.view(step)).collect(),
            unfinished: None,
        };
        let mut traces = self.traces.lock();
        traces.running.remove(&answer);
        if traces.ended.len() >= self.capacity {
            traces.ended.pop_front();
        }
        traces.ended.push_back(trace);
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
    fn watches_text(&self) -> bool {
        self.with_text && self.capacity > 0
    }

    fn observe(&self, answer: u64, event: &PipelineEvent<'_>) {
        if self.capacity == 0 {
            return;
        }
        match event {
            PipelineEvent::AnswerStarted { request, prompt_tokens, live } => {
                self.start(answer, request, *prompt_tokens, *live);
            }
            PipelineEvent::StepAppended(step) => self.append(answer, step),
            PipelineEvent::AnswerEnded(ended) => self.end(answer, ended),
            _ => {}
        }
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

#[cfg(test)]
mod tests {
    use std::{pin::pin, sync::Arc};

    use rsd_core::pipeline::testing::{WaitValve, World, block_on};

    use super::*;

    #[test]
    fn an_answer_in_work_is_listed_with_its_steps_so_far_and_once() {
        let traces = Arc::new(RecentTraces::new(3, true));
        let answered = |world: &World| {
            let mut rsd = world.rsd();
            rsd.observer = traces.clone();
            rsd
        };
        let world = (0..1000).map(World::new).find(|world| world.answer().trace.steps.len() > 4).unwrap();
        let whole = world.answer();
        let waits = {
            let counted = world.through(WaitValve::default());
            counted.answer();
            counted.draft.valve.waits()
        };
        let running = block_on(async {
            let world = world.through(WaitValve::hanging(waits - 1, None));
            let (rsd, valve) = (answered(&world), world.draft.valve.clone());
            let mut answer = pin!(world.answer_on(&rsd));
            tokio::select! {
                biased;
                _ = &mut answer => panic!("it did not hang"),
                () = valve.hung.notified() => {}
            }
            let listed = traces.list(9);
            assert_eq!((listed.len(), listed[0].outcome.as_str()), (1, "running"));
            let found = traces.find(&listed[0].id).unwrap();
            assert!(listed[0].steps > 0 && found.steps.len() == listed[0].steps);
            let text: String = found.steps.iter().map(|step| step.text.clone().unwrap()).collect();
            assert!(whole.text.starts_with(&text), "{text:?} in {:?}", whole.text);
            assert_eq!(listed[0].sources.len(), found.steps.len());
            found
        });
        // Its caller has dropped it.
        let dropped = traces.find(&running.summary.id).unwrap();
        assert_eq!((dropped.summary.outcome.as_str(), &dropped.steps), ("cancelled", &running.steps));
        for _ in 0..5 {
            block_on(world.answer_on(&answered(&world)));
        }
        let outcomes: Vec<String> = traces.list(9).into_iter().map(|trace| trace.outcome).collect();
        assert_eq!(outcomes, ["completed"; 3]);
    }

    /// The newest trace of an answer that hangs at this wait, and how many waits there were.
    fn hung_at(wait: usize, world: &World, traces: &Arc<RecentTraces>) -> Option<RequestTrace> {
        let world = world.through(WaitValve::hanging(wait, None));
        let mut rsd = world.rsd();
        rsd.observer = traces.clone();
        block_on(async {
            let mut answer = pin!(world.answer_on(&rsd));
            tokio::select! {
                biased;
                _ = &mut answer => {}
                () = world.draft.valve.hung.notified() => {}
            }
            traces.list(1).first().and_then(|newest| traces.find(&newest.id))
        })
    }

    #[test]
    fn the_text_after_the_last_step_is_what_a_model_decodes_or_what_is_rejected_next() {
        let world = World::new(3);
        let whole = world.answer();
        assert!(whole.trace.steps.iter().any(|step| step.rejected.is_some()), "{:?}", whole.trace);
        let waits = {
            let counted = world.through(WaitValve::default());
            counted.answer();
            counted.draft.valve.waits()
        };
        let mut seen = Vec::new();
        for wait in 0..waits {
            let Some(found) = hung_at(wait, &world, &Arc::new(RecentTraces::new(1, true))) else { continue };
            let Some(UnfinishedText { source, text }) = found.unfinished else { continue };
            let so_far: String = found.steps.iter().map(|step| step.text.clone().unwrap()).collect();
            let rejected = whole.trace.steps.get(found.steps.len()).and_then(|step| step.rejected.as_ref());
            let is_next = whole.text.starts_with(&format!("{so_far}{text}"));
            let is_rejected = source == "draft" && rejected.is_some_and(|rejected| text.starts_with(&rejected.text));
            // Of what the draft decoded ahead, a later step may be rejected.
            let next = whole.trace.steps.get(found.steps.len()).map(|step| step.text.as_str()).unwrap_or_default();
            let begins = source == "draft" && text.starts_with(next);
            assert!(is_next || is_rejected || begins, "{source} {text:?} after {so_far:?} in {:?}", whole.text);
            seen.push(is_rejected);
            assert_eq!(hung_at(wait, &world, &Arc::new(RecentTraces::new(1, false))).unwrap().unfinished, None);
        }
        assert!(seen.contains(&true) && seen.contains(&false), "{seen:?}");
    }
}
