//! A run as its caller sees it: a stream of steps that can be accepted or stopped, and a report at the end.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    EngineCore, LogitReading,
    gate::StepGate,
    logit_reader::{LogitReader, LogitSelection},
    request::RequestEnd,
    step_sampler::{RunEvent, StepSampler, TokenSelector},
};
use rsd_core::pipeline::roles::{GeneratorRun, RoleError, RunReport, RunRequest, Step};

/// Attempts per request. The second one follows if the engine thread has died during the first.
const ATTEMPTS: usize = 2;

struct EngineRun {
    gate: Arc<StepGate>,
    events: mpsc::UnboundedReceiver<RunEvent>,
    report: oneshot::Receiver<RunReport>,
    finished: bool,
}

/// Waits for the exclusive use of the engine.
pub(super) async fn engine_permit(core: &EngineCore) -> Result<OwnedSemaphorePermit, RoleError> {
    core.engine_permit.clone().acquire_owned().await.map_err(|_| core.failed("the engine was shut down"))
}

pub(super) async fn start(core: &Arc<EngineCore>, request: RunRequest) -> Result<Box<dyn GeneratorRun>, RoleError> {
    core.check_context(&request.prefix)?;
    if request.max_tokens == 0 || request.max_steps == Some(0) {
        return Err(RoleError::Invalid("a run must be allowed at least one token and one step".to_owned()));
    }
    let mut request = request;
    // mistral.rs stops one token before its context is full. We stop there too and report the reason.
    request.max_tokens = request.max_tokens.min(core.context - request.prefix.len());
    let permit = engine_permit(core).await?;
    let gate = Arc::new(StepGate::default());
    let (events, steps) = mpsc::unbounded_channel();
    let (done, report) = oneshot::channel();
    tokio::spawn(drive(core.clone(), permit, request, gate.clone(), events, done));
    Ok(Box::new(EngineRun { gate, events: steps, report, finished: false }))
}

/// Drives a run to its end. It runs on a task of its own, so that a caller that goes away cannot drop the channel on
/// which mistral.rs answers.
async fn drive(
    core: Arc<EngineCore>,
    permit: OwnedSemaphorePermit,
    request: RunRequest,
    gate: Arc<StepGate>,
    events: mpsc::UnboundedSender<RunEvent>,
    done: oneshot::Sender<RunReport>,
) {
    let began = Instant::now();
    let begins = request.position == 0;
    let prompt = request.prefix.clone();
    let sampler = StepSampler::new(request, core.vocabulary.clone(), gate.clone(), events.clone(), core.states);
    let sampler = Arc::new(Mutex::new(sampler));
    let mut in_windows = 0;
    for attempt in 1..=ATTEMPTS {
        let prompt_so_far = sampler.lock().prompt_so_far();
        let run = async {
            let windows = core.prefill_windows(&prompt_so_far, begins, || gate.is_stopped()).await?;
            in_windows += windows.computed;
            if windows.abandoned {
                return Ok(RequestEnd::Ended);
            }
            core.run_request(prompt_so_far, &sampler, begins && windows.computed == 0).await
        };
        let failure = match run.await {
            Ok(RequestEnd::Ended) => None,
            Ok(RequestEnd::Died(reason)) if attempt < ATTEMPTS => {
                tracing::warn!(role = %core.role, %reason, "the engine died; it is started again and the request is repeated");
                continue;
            }
            Ok(RequestEnd::Died(reason) | RequestEnd::Failed(reason)) => Some(core.failed(reason)),
            Err(error) => Some(error),
        };
        if let Some(error) = failure {
            let _ = events.send(RunEvent::Failed(error));
        }
        break;
    }
    let report = {
        let sampler = sampler.lock();
        let seconds = began.elapsed().saturating_sub(sampler.waited()).as_secs_f64();
        RunReport {
            generated: sampler.generated(),
            forwards: sampler.calls(),
            prefilled: in_windows + core.prefilled(&prompt, sampler.computed_prompt()),
            verified: 0,
            prompt: prompt.len(),
            prefill_seconds: sampler.first_token().map_or(seconds, |first| (first - began).as_secs_f64()),
            seconds,
        }
    };
    drop(permit);
    let _ = done.send(report);
    let _ = events.send(RunEvent::End);
}

#[async_trait]
impl GeneratorRun for EngineRun {
    async fn next(&mut self) -> Option<Result<Step, RoleError>> {
        if self.finished {
            return None;
        }
        match self.events.recv().await {
            Some(RunEvent::Step(step)) => Some(Ok(step)),
            Some(RunEvent::Failed(error)) => Some(Err(error)),
            Some(RunEvent::End) | None => {
                self.finished = true;
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

/// Computes logits at the end of a prompt.
pub(super) async fn read_logits(
    core: &Arc<EngineCore>,
    prompt: Vec<u32>,
    selection: LogitSelection,
) -> Result<LogitReading, RoleError> {
    core.check_context(&prompt)?;
    let Some((&last, head)) = prompt.split_last().filter(|(_, head)| !head.is_empty()) else {
        return Err(RoleError::Invalid("a prompt needs at least two tokens before its logits can be read".to_owned()));
    };
    let (head, core) = (head.to_vec(), core.clone());
    let permit = engine_permit(&core).await?;
    let gone = CancellationToken::new();
    let _waiting = gone.clone().drop_guard();
    // On a task of its own, because a caller that gives up must not drop the channel on which mistral.rs answers.
    let reading = tokio::spawn(async move {
        let _permit = permit;
        let began = Instant::now();
        let windows = core.prefill_windows(&head, false, || gone.is_cancelled()).await?;
        if windows.abandoned {
            return Err(core.failed("nobody waits for these logits any more"));
        }
        for attempt in 1..=ATTEMPTS {
            let reader = Arc::new(Mutex::new(LogitReader::new(last, selection.clone(), core.vocabulary.sentinel())));
            match core.run_request(head.clone(), &reader, false).await? {
                RequestEnd::Ended => {
                    let mut reader = reader.lock();
                    let logits = reader
                        .take_logits()
                        .ok_or_else(|| core.failed("its output row does not contain the requested logits or states"))?;
                    return Ok(LogitReading {
                        logits,
                        prompt: head.len() + 1,
                        prefilled: windows.computed
                            + core.prefilled(&head, reader.computed_prompt().saturating_sub(1))
                            + 1,
                        seconds: began.elapsed().as_secs_f64(),
                    });
                }
                RequestEnd::Died(_) if attempt < ATTEMPTS => {}
                RequestEnd::Died(reason) | RequestEnd::Failed(reason) => return Err(core.failed(reason)),
            }
        }
        Err(core.failed("its engine died twice"))
    });
    reading.await.unwrap_or_else(|error| {
        Err(RoleError::Failed {
            role: "reward".to_owned(),
            reason: format!("the task that reads logits stopped: {error}"),
        })
    })
}
