//! A run on a remote engine: one stream, or one completion after another, cut into steps here.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rsd_core::{
    pipeline::{
        roles::{GeneratorRun, RoleError, RunReport, RunRequest, Step, StepEnd},
        step_builder::StepBuilder,
    },
    sampling::request_seed,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{CompletionEnd, PromptUse},
    completion::{Completion, CompletionError, CompletionPart, CompletionPlan},
    remote_core::RemoteCore,
};

/// How often a run may be continued after a completion that broke off.
const CONTINUATIONS: usize = 2;

/// How long an engine has for what it says after the last token, which should be there already.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A run as its caller sees it.
struct RemoteRun {
    steps: mpsc::UnboundedReceiver<Result<Step, RoleError>>,
    accepted: watch::Sender<usize>,
    stopped: CancellationToken,
    report: oneshot::Receiver<RunReport>,
}

pub(crate) fn start(core: &Arc<RemoteCore>, request: RunRequest) -> Result<Box<dyn GeneratorRun>, RoleError> {
    let length = request.prefix.len();
    if length >= core.context {
        return Err(RoleError::ContextExceeded { role: core.role.clone(), tokens: length, context: core.context });
    }
    if request.max_tokens == 0 || request.max_steps == Some(0) {
        return Err(RoleError::Invalid("a run must be allowed at least one token and one step".to_owned()));
    }
    if let Some(parameter) = core.adapter.unsupported(&request.sampling) {
        let engine = core.adapter.name();
        return Err(RoleError::Invalid(format!(
            "{parameter}: the {} model's engine ({engine}) cannot do this",
            core.role
        )));
    }
    if request.logprobs.is_some() && !core.adapter.abilities().logprobs {
        return Err(RoleError::Invalid(format!("logprobs: the {} model's engine reports none", core.role)));
    }
    let max_tokens = request.max_tokens.min(core.context - length);
    let request = RunRequest { max_tokens, ..request };
    let (sender, steps) = mpsc::unbounded_channel();
    let (accepted, decisions) = watch::channel(0);
    let (done, report) = oneshot::channel();
    let stopped = CancellationToken::new();
    let driver = RunDriver {
        builder: StepBuilder::new(&request),
        session: RemoteCore::session(&request),
        core: core.clone(),
        request,
        sender,
        decisions,
        prompt: PromptUse::default(),
        first_token: None,
        prefill_seconds: 0.0,
        began: Instant::now(),
        waited: Duration::ZERO,
        forwards: 0,
    };
    tokio::spawn(driver.run(stopped.clone(), done));
    Ok(Box::new(RemoteRun { steps, accepted, stopped, report }))
}

/// Drives a run to its end on a task of its own.
struct RunDriver {
    core: Arc<RemoteCore>,
    request: RunRequest,
    builder: StepBuilder,
    session: u64,
    sender: mpsc::UnboundedSender<Result<Step, RoleError>>,
    /// Steps that were accepted so far.
    decisions: watch::Receiver<usize>,
    /// Of all completions together.
    prompt: PromptUse,
    first_token: Option<Instant>,
    /// Seconds of prefill that the engine told.
    prefill_seconds: f64,
    began: Instant,
    /// Time spent waiting for decisions.
    waited: Duration,
    forwards: usize,
}

/// How a completion ended for the run.
enum RunProgress {
    /// The run is over.
    Over,
    /// Another completion follows.
    Continues,
}

impl RunDriver {
    async fn run(mut self, stopped: CancellationToken, done: oneshot::Sender<RunReport>) {
        if let Err(error) = self.drive(&stopped).await {
            let reason = match error {
                CompletionError::Transport(error) => error.to_string(),
                other => format!("{}: {other}", self.core.client.address()),
            };
            let _ = self.sender.send(Err(RoleError::Failed { role: self.core.role.clone(), reason }));
        }
        let _ = done.send(self.report());
    }

    /// Ends when the last step is decoded, or when the run is stopped.
    async fn drive(&mut self, stopped: &CancellationToken) -> Result<(), CompletionError> {
        let mut continuations = 0;
        loop {
            match self.complete(stopped).await {
                Ok(RunProgress::Over) => return Ok(()),
                Ok(RunProgress::Continues) => {}
                // What arrived is part of the answer, and the rest is asked for again.
                Err(error) if error.is_retryable() && continuations < CONTINUATIONS => {
                    continuations += 1;
                    tracing::warn!(role = self.core.role, %error, "a completion broke off; its rest is asked for again");
                }
                Err(error) => return Err(error),
            }
            if stopped.run_until_cancelled(self.wait_for_decisions()).await.is_none() {
                return Ok(());
            }
        }
    }

    /// Before another completion: at most `lookahead` steps may be undecided.
    async fn wait_for_decisions(&mut self) {
        let began = Instant::now();
        let (steps, lookahead) = (self.builder.steps(), self.request.lookahead);
        // An error means that the caller has gone; then the run is stopped.
        let _ = self.decisions.wait_for(|accepted| steps.saturating_sub(*accepted) <= lookahead).await;
        self.waited += began.elapsed();
        if self.builder.step_tokens() == 0 {
            self.builder.restart_clock();
        }
    }

    /// One completion.
    async fn complete(&mut self, stopped: &CancellationToken) -> Result<RunProgress, CompletionError> {
        let core = self.core.clone();
        let decoded = self.builder.tokens().len();
        let mut prefix = self.request.prefix.clone();
        prefix.extend_from_slice(self.builder.tokens());
        let left = self.request.max_tokens - decoded;
        let streams = core.adapter.abilities().complete_streams;
        let plan = CompletionPlan::new(&self.request, streams, left, self.builder.step_tokens());
        let position = (self.request.position + decoded) as u64;
        let seed = request_seed(self.request.sampling.seed, self.request.stream, position);
        let start = Completion::start(&core, &prefix, &self.request, &plan, seed, self.session);
        let Some(completion) = stopped.run_until_cancelled(start).await else { return Ok(RunProgress::Over) };
        let mut completion = completion?;
        // The caller of a run takes its last step and stops it. What the engine says after the last token is still received:
        // it holds the counts, and only a connection whose reply has ended is used again.
        let received = stopped.run_until_cancelled(self.receive(&mut completion, &plan, decoded)).await;
        if let Some(Ok(_)) = received {
            let _ = tokio::time::timeout(LAST_WORDS, completion.receive_usage()).await;
        }
        if received.is_none() && self.builder.tokens().len() == decoded {
            return Ok(RunProgress::Over);
        }
        let progress = received.unwrap_or(Ok(RunProgress::Over));
        self.prefill_seconds += completion.prefill_seconds.unwrap_or(0.0);
        let cached = completion.prompt.and_then(|prompt| prompt.cached);
        let cached = cached.unwrap_or_else(|| core.sent.lock().cached(self.session, &prefix));
        self.prompt.prompt += prefix.len();
        self.prompt.cached = Some(self.prompt.cached.unwrap_or(0) + cached.min(prefix.len()));
        prefix.extend_from_slice(&self.builder.tokens()[decoded..]);
        core.sent.lock().insert(self.session, prefix);
        progress
    }

    /// Cuts the tokens of a completion into steps.
    async fn receive(
        &mut self,
        completion: &mut Completion<'_>,
        plan: &CompletionPlan,
        decoded: usize,
    ) -> Result<RunProgress, CompletionError> {
        loop {
            let end = match completion.next().await? {
                CompletionPart::End(end) => end,
                CompletionPart::Token(token) => {
                    self.forwards += 1;
                    self.first_token.get_or_insert_with(Instant::now);
                    if self.core.vocabulary.is_end(token.id) {
                        self.send_step(StepEnd::EndOfText);
                        return Ok(RunProgress::Over);
                    }
                    let bytes = self.core.vocabulary.bytes(token.id);
                    let Some(end) = self.builder.push(token.id, &bytes, token.logprob) else { continue };
                    self.send_step(end);
                    if self.builder.is_last(end) {
                        return Ok(RunProgress::Over);
                    }
                    continue;
                }
            };
            let asked_for = self.builder.tokens().len() - decoded >= plan.max_tokens;
            let nothing = self.builder.tokens().len() == decoded;
            return match end {
                CompletionEnd::EndOfText => {
                    self.send_step(StepEnd::EndOfText);
                    Ok(RunProgress::Over)
                }
                // Without stop strings an engine stops only where the model ends.
                CompletionEnd::Unknown if plan.stop.is_empty() && !asked_for => {
                    self.send_step(StepEnd::EndOfText);
                    Ok(RunProgress::Over)
                }
                // The engine had less room than its context promised.
                CompletionEnd::Length if !asked_for => {
                    self.send_step(StepEnd::Length);
                    Ok(RunProgress::Over)
                }
                _ if nothing => Err(CompletionError::Text("the engine ended a completion without a token".to_owned())),
                _ => Ok(RunProgress::Continues),
            };
        }
    }

    fn send_step(&mut self, end: StepEnd) {
        let step = self.builder.take_step(end, None);
        let _ = self.sender.send(Ok(step));
    }

    fn report(&self) -> RunReport {
        let seconds = self.began.elapsed().saturating_sub(self.waited).as_secs_f64();
        let first_token = self.first_token.map_or(seconds, |first| (first - self.began).as_secs_f64());
        let prefill = if self.prefill_seconds > 0.0 { self.prefill_seconds } else { first_token };
        RunReport {
            generated: self.builder.tokens().len(),
            forwards: self.forwards,
            prefilled: self.prompt.prompt.saturating_sub(self.prompt.cached.unwrap_or(0)),
            verified: 0,
            prompt: self.prompt.prompt,
            prefill_seconds: prefill.min(seconds),
            seconds,
        }
    }
}

#[async_trait]
impl GeneratorRun for RemoteRun {
    async fn next(&mut self) -> Option<Result<Step, RoleError>> {
        self.steps.recv().await
    }

    fn accept(&mut self) {
        self.accepted.send_modify(|accepted| *accepted += 1);
    }

    async fn finish(mut self: Box<Self>) -> RunReport {
        self.stopped.cancel();
        let (_, never) = oneshot::channel();
        std::mem::replace(&mut self.report, never).await.unwrap_or_default()
    }
}

impl Drop for RemoteRun {
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}
