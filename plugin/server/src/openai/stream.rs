//! Sends an answer as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::response::{
    IntoResponse, Response, Sse,
    sse::{Event, KeepAlive},
};
use futures::{Stream, StreamExt, stream};
use rsd_core::pipeline::AnswerOutcome;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    error::ApiError,
    generate::{JobEvent, RunningJob},
    response::AnswerWriter,
};

/// How often a silent stream sends a comment, so that proxies keep it open.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

struct StreamState {
    writer: AnswerWriter,
    /// The event that began the stream.
    early: Option<JobEvent>,
    /// `None` once the last event was sent.
    job: Option<RunningJob>,
    outcomes: Vec<AnswerOutcome>,
}

/// Streams a running job. The status is sent when the models have accepted the prompt, so an error before that has its
/// own. A client that waits for longer than the interval of comments gets the beginning of the stream, and errors as events;
/// those of the prompt are known before the wait.
pub(super) async fn respond(writer: AnswerWriter, mut job: RunningJob) -> Result<Response, ApiError> {
    let early = match timeout(KEEP_ALIVE, job.events.recv()).await {
        Ok(Some(JobEvent::Fails(error))) => return Err(error),
        Ok(event) => event,
        Err(_) => None,
    };
    let state = StreamState { writer, early, job: Some(job), outcomes: Vec::new() };
    Ok(Sse::new(events(state)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

fn events(state: StreamState) -> impl Stream<Item = Result<Event, Infallible>> {
    let batches = stream::unfold(state, |mut state| async move {
        let job = state.job.as_mut()?;
        let event = match state.early.take() {
            Some(event) => Some(event),
            None => job.events.recv().await,
        };
        let events = state.translate(event);
        Some((events, state))
    });
    batches.flat_map(|events| stream::iter(events.into_iter().map(Ok)))
}

fn data(value: &Value) -> Event {
    Event::default().data(value.to_string())
}

fn done() -> Event {
    Event::default().data("[DONE]")
}

impl StreamState {
    /// The server-sent events for one event of the job; `None` is the end of the job.
    fn translate(&mut self, event: Option<JobEvent>) -> Vec<Event> {
        match event {
            Some(JobEvent::PromptScored(score)) => {
                self.writer.add_prompt_score(*score);
                Vec::new()
            }
            Some(JobEvent::ChoiceBegins(index)) => self.writer.first_event(index).iter().map(data).collect(),
            Some(JobEvent::ChoiceGrows(index, progress)) => {
                self.writer.step_event(index, &progress).iter().map(data).collect()
            }
            Some(JobEvent::ChoiceEnds(index, outcome)) => {
                let event = data(&self.writer.end_event(index, &outcome));
                self.outcomes.push(*outcome);
                vec![event]
            }
            Some(JobEvent::Fails(error)) => {
                self.job = None;
                vec![data(&error.body()), done()]
            }
            None => {
                self.job = None;
                let last = self.writer.last_event(&self.outcomes);
                last.iter().map(data).chain([done()]).collect()
            }
        }
    }
}
