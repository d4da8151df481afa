//! Generates the choices of a request on a task of its own. When the client leaves, that task ends its work in good
//! order, which dropping it would not allow.

use std::{iter, sync::Arc, time::Duration};

use rsd_core::{
    pipeline::{AnswerOutcome, AnswerProgress},
    sampling::choice_seed,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    error::{ApiError, ApiErrorCode},
    resolve::AnswerJob,
};
use crate::{admission::QueuePlace, app::AppState, metrics::RequestOutcome, request_timer::RequestTimer};

/// What happens to a running job. The number is the index of the choice.
#[derive(Debug)]
pub(super) enum JobEvent {
    ChoiceBegins(usize),
    ChoiceGrows(usize, AnswerProgress),
    ChoiceEnds(usize, Box<AnswerOutcome>),
    /// The job failed; no further event follows.
    Fails(ApiError),
}

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
    tokio::spawn(run(app.clone(), job, place, timer, cancel.clone(), sender));
    Ok(RunningJob { events, _cancel: cancel.drop_guard() })
}

async fn run(
    app: Arc<AppState>,
    job: AnswerJob,
    place: QueuePlace,
    mut timer: RequestTimer,
    cancel: CancellationToken,
    events: mpsc::UnboundedSender<JobEvent>,
) {
    let admitted = tokio::select! {
        biased;
        () = cancel.cancelled() => None,
        permit = place.run() => permit,
    };
    let Some(_permit) = admitted else {
        let message = "the server is shutting down and has not begun this request";
        let _ = events.send(JobEvent::Fails(ApiError::new(ApiErrorCode::ShuttingDown, message)));
        return;
    };
    if let Some(log) = &app.log {
        log.append("request", &job.log_entry());
    }
    let AnswerJob { mut request, choices } = job;
    request.deadline = Some(Instant::now() + Duration::from_secs(app.limits.request_seconds));
    let model = request.model.clone();
    let seed = request.sampling.seed;
    for (index, mut request) in iter::repeat_n(request, choices).enumerate() {
        request.sampling.seed = choice_seed(seed, index as u64);
        // Sending fails only if the client has disconnected, which also cancels the job.
        let _ = events.send(JobEvent::ChoiceBegins(index));
        timer.begin_choice();
        let on_progress = |progress: AnswerProgress| {
            timer.record_tokens(progress.step.as_ref().map_or(0, |step| step.tokens), !progress.text.is_empty());
            let _ = events.send(JobEvent::ChoiceGrows(index, progress));
        };
        match app.rsd.answer(request, on_progress, cancel.clone()).await {
            Ok(outcome) => {
                if let Some(log) = &app.log {
                    log.append("answer", &serde_json::json!({"model": model, "index": index, "text": outcome.text}));
                }
                let _ = events.send(JobEvent::ChoiceEnds(index, Box::new(outcome)));
            }
            Err(error) => {
                let error = ApiError::from(error);
                timer.set_outcome(error.outcome());
                let _ = events.send(JobEvent::Fails(error));
                return;
            }
        }
    }
    timer.set_outcome(RequestOutcome::Completed);
}
