//! An answer as server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::response::{
    IntoResponse, Response, Sse,
    sse::{Event, KeepAlive},
};
use futures::{Stream, stream};
use serde_json::Value;

use super::{
    app::App,
    generate::{Report, Running},
    parse::Job,
    response::{Delta, Envelope, Usage, logprobs, traces},
};
use crate::{pipeline::Outcome, policy::Answers};

/// How often a silent stream sends a comment, so that proxies keep it open.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

struct State {
    app: Arc<App>,
    job: Job,
    envelope: Envelope,
    running: Option<Running>,
    outcomes: Vec<Outcome>,
}

/// Streams a running job.
pub(super) fn respond(app: Arc<App>, job: Job, running: Running) -> Response {
    let envelope = Envelope::new(&job);
    let state = State { app, job, envelope, running: Some(running), outcomes: Vec::new() };
    Sse::new(events(state)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

fn events(state: State) -> impl Stream<Item = Result<Event, Infallible>> {
    let batches = stream::unfold(state, |mut state| async move {
        let running = state.running.as_mut()?;
        let report = running.reports.recv().await;
        let events = state.events(report);
        Some((events, state))
    });
    futures::StreamExt::flat_map(batches, |events| stream::iter(events.into_iter().map(Ok)))
}

fn data(value: &Value) -> Event {
    Event::default().data(value.to_string())
}

impl State {
    fn events(&mut self, report: Option<Report>) -> Vec<Event> {
        match report {
            Some(Report::Begin(index)) => {
                if self.job.chat {
                    vec![data(&self.envelope.chunk(index, &Delta::Begin, None, None))]
                } else {
                    vec![]
                }
            }
            Some(Report::Progress(index, progress)) => {
                let shown = (!progress.logprobs.is_empty()).then(|| self.logprobs(&progress.logprobs));
                if progress.text.is_empty() && shown.is_none() {
                    return vec![];
                }
                vec![data(&self.envelope.chunk(index, &Delta::Text(progress.text), None, shown.as_ref()))]
            }
            Some(Report::Done(index, outcome)) => {
                let finish = Some(outcome.finish);
                self.outcomes.push(*outcome);
                vec![data(&self.envelope.chunk(index, &Delta::End, finish, None))]
            }
            Some(Report::Failed(error)) => {
                self.running = None;
                vec![data(&error.body()), Event::default().data("[DONE]")]
            }
            None => {
                self.running = None;
                let usage = self.job.include_usage.then(|| Usage::of(&self.outcomes));
                let trace = self.job.trace.then(|| traces(self.outcomes.iter().map(|outcome| &outcome.trace)));
                let mut events = Vec::new();
                if usage.is_some() || trace.is_some() {
                    events.push(data(&self.envelope.last(usage, trace)));
                }
                events.push(Event::default().data("[DONE]"));
                events
            }
        }
    }

    fn logprobs(&self, tokens: &[crate::pipeline::roles::TokenLogprob]) -> Value {
        let model =
            if self.job.overrides.answers == Some(Answers::Draft) { &self.app.rsd.draft } else { &self.app.rsd.target };
        logprobs(self.job.chat, model.as_ref(), tokens)
    }
}
