//! Running a job: on a task of its own, so that a client's leaving cancels it cleanly instead of dropping it.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{account::Account, admission::Place, app::App, error::ApiError, parse::Job};
use crate::{
    metrics::Outcome as Ending,
    pipeline::{Outcome, Progress, Request},
    sampling::{Sampling, choice_seed},
};

/// What a running job reports.
#[derive(Debug)]
pub(super) enum Report {
    /// A choice begins.
    Begin(usize),
    /// A choice grew.
    Progress(usize, Progress),
    /// A choice is complete.
    Done(usize, Box<Outcome>),
    /// The job failed; nothing follows.
    Failed(ApiError),
}

/// A running job; dropping it cancels the work within one token.
pub(super) struct Running {
    pub reports: mpsc::UnboundedReceiver<Report>,
    _guard: DropGuard,
}

/// Admits and starts a job.
pub(super) fn start(app: &Arc<App>, job: Job, mut account: Account) -> Result<Running, ApiError> {
    if app.draining.is_cancelled() {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "shutting_down",
            "the server is shutting down and takes no new requests",
        ));
    }
    let place = app.admission.enter().map_err(ApiError::busy)?;
    account.admitted();
    let cancel = app.stopping.child_token();
    let (sender, reports) = mpsc::unbounded_channel();
    tokio::spawn(work(app.clone(), job, place, account, cancel.clone(), sender));
    Ok(Running { reports, _guard: cancel.drop_guard() })
}

async fn work(
    app: Arc<App>,
    job: Job,
    place: Place,
    mut account: Account,
    cancel: CancellationToken,
    reports: mpsc::UnboundedSender<Report>,
) {
    let admitted = tokio::select! {
        biased;
        () = cancel.cancelled() => None,
        running = place.run() => running,
    };
    let Some(_running) = admitted else { return };
    let deadline = Instant::now() + Duration::from_secs(app.limits.request_seconds);
    if let Some(log) = &app.log {
        log.note("request", &job.logged());
    }
    for index in 0..job.choices {
        let request = Request {
            prompt: job.prompt.clone(),
            sampling: Sampling { seed: choice_seed(job.sampling.seed, index as u64), ..job.sampling.clone() },
            max_tokens: job.max_tokens,
            stop: job.stop.clone(),
            model: Some(job.model.clone()),
            overrides: job.overrides,
            logprobs: job.logprobs,
            deadline: Some(deadline),
        };
        let (progress, mut steps) = mpsc::unbounded_channel::<Progress>();
        let _ = reports.send(Report::Begin(index));
        account.begin_choice();
        let forward = async {
            while let Some(step) = steps.recv().await {
                account.grow(step.step.as_ref().map_or(0, |step| step.tokens), !step.text.is_empty());
                let _ = reports.send(Report::Progress(index, step));
            }
        };
        // The pipeline drops its sender when it is done, which ends the forwarding.
        let (outcome, ()) = tokio::join!(app.rsd.answer(request, progress, cancel.clone()), forward);
        match outcome {
            Ok(outcome) => {
                if let Some(log) = &app.log {
                    log.note("answer", &serde_json::json!({"model": job.model, "index": index, "text": outcome.text}));
                }
                let _ = reports.send(Report::Done(index, Box::new(outcome)));
            }
            Err(error) => {
                let error = ApiError::from(error);
                account.end(error.outcome());
                let _ = reports.send(Report::Failed(error));
                return;
            }
        }
    }
    account.end(Ending::Completed);
}
