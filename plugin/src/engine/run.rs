//! Runs as their owner sees them: a stream of steps that can be judged, stopped and accounted for.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    Inner, Reading,
    gate::Gate,
    reader::{Reader, Wanted},
    request::Exchange,
    writer::{Chooser, Event, Writer},
};
use crate::pipeline::roles::{RoleError, Run, RunReport, RunRequest, Step};

/// How often a request is tried: once more after its engine has died.
const ATTEMPTS: usize = 2;

struct EngineRun {
    gate: Arc<Gate>,
    events: mpsc::UnboundedReceiver<Event>,
    report: oneshot::Receiver<RunReport>,
    over: bool,
}

pub(super) async fn lease(inner: &Inner) -> Result<OwnedSemaphorePermit, RoleError> {
    inner.lease.clone().acquire_owned().await.map_err(|_| inner.failed("the engine was shut down"))
}

pub(super) async fn start(inner: &Arc<Inner>, request: RunRequest) -> Result<Box<dyn Run>, RoleError> {
    inner.check_context(&request.prefix)?;
    if request.max_tokens == 0 || request.max_steps == Some(0) {
        return Err(RoleError::Invalid("a run must be allowed at least one token and one step".to_owned()));
    }
    let mut request = request;
    // The engine itself stops one token before its context is full; so do we, and say why.
    request.max_tokens = request.max_tokens.min(inner.context - request.prefix.len());
    let permit = lease(inner).await?;
    let gate = Arc::new(Gate::default());
    let (events, steps) = mpsc::unbounded_channel();
    let (done, report) = oneshot::channel();
    tokio::spawn(drive(inner.clone(), permit, request, gate.clone(), events, done));
    Ok(Box::new(EngineRun { gate, events: steps, report, over: false }))
}

/// Sees a run through, on a task of its own so that nobody's leaving can drop the engine's receiver.
async fn drive(
    inner: Arc<Inner>,
    permit: OwnedSemaphorePermit,
    request: RunRequest,
    gate: Arc<Gate>,
    events: mpsc::UnboundedSender<Event>,
    done: oneshot::Sender<RunReport>,
) {
    let began = Instant::now();
    let begins = request.position == 0;
    let prompt = request.prefix.clone();
    let writer =
        Arc::new(Mutex::new(Writer::new(request, inner.vocabulary.clone(), gate, events.clone(), inner.states)));
    for attempt in 1..=ATTEMPTS {
        let prompt_so_far = writer.lock().prompt_so_far();
        let failure = match inner.exchange(prompt_so_far, &writer, begins).await {
            Ok(Exchange::Ended) => None,
            Ok(Exchange::Died(reason)) if attempt < ATTEMPTS => {
                tracing::warn!(role = %inner.role, %reason, "starting the engine again and repeating the request");
                continue;
            }
            Ok(Exchange::Died(reason) | Exchange::Failed(reason)) => Some(inner.failed(reason)),
            Err(error) => Some(error),
        };
        if let Some(error) = failure {
            let _ = events.send(Event::Failed(error));
        }
        break;
    }
    let report = {
        let writer = writer.lock();
        let seconds = began.elapsed().saturating_sub(writer.waited()).as_secs_f64();
        RunReport {
            generated: writer.generated(),
            forwards: writer.calls(),
            prefilled: inner.prefilled(&prompt, writer.computed_prompt()),
            prompt: prompt.len(),
            prefill_seconds: writer.first_token().map_or(seconds, |first| (first - began).as_secs_f64()),
            seconds,
        }
    };
    drop(permit);
    let _ = done.send(report);
    let _ = events.send(Event::End);
}

#[async_trait]
impl Run for EngineRun {
    async fn next(&mut self) -> Option<Result<Step, RoleError>> {
        if self.over {
            return None;
        }
        match self.events.recv().await {
            Some(Event::Step(step)) => Some(Ok(step)),
            Some(Event::Failed(error)) => Some(Err(error)),
            Some(Event::End) | None => {
                self.over = true;
                None
            }
        }
    }

    fn accept(&mut self) {
        self.gate.accept();
    }

    async fn finish(mut self: Box<Self>) -> RunReport {
        self.gate.stop();
        let (_, never) = oneshot::channel();
        let report = std::mem::replace(&mut self.report, never);
        report.await.unwrap_or_default()
    }
}

impl Drop for EngineRun {
    fn drop(&mut self) {
        self.gate.stop();
    }
}

/// Reads logits at the end of a prompt.
pub(super) async fn read(inner: &Arc<Inner>, prompt: Vec<u32>, wanted: Wanted) -> Result<Reading, RoleError> {
    inner.check_context(&prompt)?;
    let Some((&last, head)) = prompt.split_last().filter(|(_, head)| !head.is_empty()) else {
        return Err(RoleError::Invalid("a prompt to be read needs at least two tokens".to_owned()));
    };
    let (head, inner) = (head.to_vec(), inner.clone());
    let permit = lease(&inner).await?;
    // On a task of its own: a caller that gives up must not drop the engine's receiver.
    let reading = tokio::spawn(async move {
        let _permit = permit;
        let began = Instant::now();
        for attempt in 1..=ATTEMPTS {
            let reader = Arc::new(Mutex::new(Reader::new(last, wanted.clone(), inner.vocabulary.sentinel)));
            match inner.exchange(head.clone(), &reader, false).await? {
                Exchange::Ended => {
                    let mut reader = reader.lock();
                    let logits =
                        reader.take().ok_or_else(|| inner.failed("its logits do not hold what is read from them"))?;
                    return Ok(Reading {
                        logits,
                        prompt: head.len() + 1,
                        prefilled: inner.prefilled(&head, reader.computed_prompt().saturating_sub(1)) + 1,
                        seconds: began.elapsed().as_secs_f64(),
                    });
                }
                Exchange::Died(_) if attempt < ATTEMPTS => {}
                Exchange::Died(reason) | Exchange::Failed(reason) => return Err(inner.failed(reason)),
            }
        }
        Err(inner.failed("its engine ended twice"))
    });
    reading.await.unwrap_or_else(|error| {
        Err(RoleError::Failed { role: "reward".to_owned(), reason: format!("the reading task ended: {error}") })
    })
}
