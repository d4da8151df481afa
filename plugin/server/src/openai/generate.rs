//! Generates the choices of a request on a task of its own. When the client leaves, that task ends its work in good
//! order, which dropping it would not allow.

use std::{sync::Arc, time::Duration};

use rsd_core::{
    pipeline::{AnswerOutcome, AnswerProgress, AnswerSink, PromptScore, Request},
    sampling::choice_seed,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    error::{ApiError, ApiErrorCode},
    resolve::AnswerJob,
};
use crate::{admission::QueuePlace, app::AppState, metrics::RequestOutcome, request_timer::RequestTimer};

/// What happens to a running job. The number is the index of the choice; the choices of one prompt follow each other.
#[derive(Debug)]
pub(super) enum JobEvent {
    /// The log-probabilities of the next prompt, before its first choice begins.
    PromptScored(Box<PromptScore>),
    /// The models have accepted the prompt of the choice.
    ChoiceBegins(usize),
    ChoiceGrows(usize, AnswerProgress),
    ChoiceEnds(usize, Box<AnswerOutcome>),
    /// The job failed; no further event follows.
    Fails(ApiError),
}

type JobEvents = mpsc::UnboundedSender<JobEvent>;

/// A running job. Dropping it cancels the work within one token.
pub(super) struct RunningJob {
    /// Ends after the last choice, after a failure, or when the server cancels the job.
    pub events: mpsc::UnboundedReceiver<JobEvent>,
    _cancel: DropGuard,
}

/// Refuses a request that could not be admitted now.
pub(super) fn check_room(app: &AppState) -> Result<(), ApiError> {
    if app.draining.is_cancelled() {
        return Err(ApiError::shutting_down());
    }
    app.admission.check_room().map_err(ApiError::queue_full)
}

/// Admits and starts a job.
pub(super) fn start(app: &Arc<AppState>, job: AnswerJob, mut timer: RequestTimer) -> Result<RunningJob, ApiError> {
    if app.draining.is_cancelled() {
        return Err(ApiError::shutting_down());
    }
    let place = app.admission.enter().map_err(ApiError::queue_full)?;
    timer.admit();
    let cancel = app.stopping.child_token();
    let (sender, events) = mpsc::unbounded_channel();
    let mut task = JobTask { app: app.clone(), job, timer, cancel: cancel.clone(), events: sender };
    tokio::spawn(async move {
        match task.run(place).await {
            Ok(()) => task.timer.set_outcome(RequestOutcome::Completed),
            Err(error) => {
                task.timer.set_outcome(error.outcome());
                // Sending fails only if the client has disconnected, which also cancels the job.
                let _ = task.events.send(JobEvent::Fails(error));
            }
        }
    });
    Ok(RunningJob { events, _cancel: cancel.drop_guard() })
}

/// A job on its task.
struct JobTask {
    app: Arc<AppState>,
    job: AnswerJob,
    timer: RequestTimer,
    cancel: CancellationToken,
    events: JobEvents,
}

impl JobTask {
    async fn run(&mut self, place: QueuePlace) -> Result<(), ApiError> {
        let cancel = self.cancel.clone();
        // A wrong prompt is found before the wait, so that a stream that begins meanwhile does not have to report it.
        let admitted = tokio::select! {
            biased;
            () = cancel.cancelled() => None,
            permit = async {
                self.check_prompts().await?;
                Ok::<_, ApiError>(place.run().await)
            } => permit?,
        };
        let Some(_permit) = admitted else {
            let message = "the server is shutting down and has not begun this request";
            return Err(ApiError::new(ApiErrorCode::ShuttingDown, message));
        };
        if let Some(log) = &self.app.log {
            log.append("request", &self.job.log_entry());
        }
        let deadline = Instant::now() + Duration::from_secs(self.app.limits.request_seconds);
        for prompt in 0..self.job.requests.len() {
            self.score_prompt(prompt, deadline).await?;
            for choice in 0..self.job.choices {
                let mut request = self.job.requests[prompt].clone();
                request.deadline = Some(deadline);
                request.sampling.seed = choice_seed(request.sampling.seed, choice as u64);
                self.answer(prompt, prompt * self.job.choices + choice, request).await?;
            }
        }
        Ok(())
    }

    async fn check_prompts(&self) -> Result<(), ApiError> {
        for (index, request) in self.job.requests.iter().enumerate() {
            let checked = self.app.rsd.check_prompt(&request.prompt, self.job.route).await;
            checked.map_err(|error| ApiError::of_answer(&error, &self.job.prompt_field(index)))?;
        }
        Ok(())
    }

    async fn score_prompt(&self, index: usize, deadline: Instant) -> Result<(), ApiError> {
        let Some(source) = self.job.prompt_scorer else { return Ok(()) };
        if Instant::now() >= deadline {
            return Err(self.out_of_time());
        }
        let request = &self.job.requests[index];
        let top = request.logprobs.unwrap_or(0);
        let score = self.app.rsd.score_prompt(source, &request.prompt, top, &self.cancel).await;
        let score = score.map_err(|error| ApiError::of_answer(&error, &self.job.prompt_field(index)))?;
        let _ = self.events.send(JobEvent::PromptScored(Box::new(score)));
        Ok(())
    }

    fn out_of_time(&self) -> ApiError {
        let seconds = self.app.limits.request_seconds;
        let message = format!("the prompts were not scored within {seconds} s (limits.request_seconds); send fewer");
        ApiError::new(ApiErrorCode::Cancelled, message)
    }

    async fn answer(&mut self, prompt: usize, index: usize, request: Request) -> Result<(), ApiError> {
        let model = request.model.clone();
        let scored = self.job.prompt_scorer.is_some() && request.max_tokens > 0;
        let mut sink = ChoiceSink { index, begun: false, events: &self.events, timer: &mut self.timer };
        sink.timer.begin_choice();
        let answered = self.app.rsd.answer_into(request, &mut sink, self.cancel.clone()).await;
        let outcome = answered.map_err(|error| ApiError::of_answer(&error, &self.job.prompt_field(prompt)))?;
        // An answer that runs out of time before it begins is an empty one.
        sink.prompt_accepted();
        if scored && outcome.trace.steps.is_empty() {
            // Who scores a prompt relies on the entry that follows it.
            return Err(self.out_of_time());
        }
        if let Some(log) = &self.app.log {
            log.append("answer", &serde_json::json!({"model": model, "index": index, "text": outcome.text}));
        }
        let _ = self.events.send(JobEvent::ChoiceEnds(index, Box::new(outcome)));
        Ok(())
    }
}

/// Sends what happens to one choice.
struct ChoiceSink<'a> {
    index: usize,
    begun: bool,
    events: &'a JobEvents,
    timer: &'a mut RequestTimer,
}

impl AnswerSink for ChoiceSink<'_> {
    fn prompt_accepted(&mut self) {
        if !std::mem::replace(&mut self.begun, true) {
            let _ = self.events.send(JobEvent::ChoiceBegins(self.index));
        }
    }

    fn progress(&mut self, progress: AnswerProgress) {
        self.timer.record_tokens(progress.step.as_ref().map_or(0, |step| step.tokens), !progress.text.is_empty());
        let _ = self.events.send(JobEvent::ChoiceGrows(self.index, progress));
    }
}
