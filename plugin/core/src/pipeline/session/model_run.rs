//! A run of one model: it starts, yields its steps in time, ends, and is counted.

use super::{AnswerSession, PipelineError, PipelineEvent, RoleError, Step, StepSource, wait_until};
use crate::{
    pipeline::{
        roles::{GeneratorRun, RunReport, RunRequest},
        segment::Segmentation,
    },
    sampling::RandomStream,
};

/// Whether a run could start.
pub(super) enum RunStart {
    Running(Box<dyn GeneratorRun>),
    /// A limit on tokens, steps or time leaves nothing to generate.
    NoRoom,
}

/// What comes next in a run.
pub(super) enum RunEvent {
    Step(Step),
    Failed(RoleError),
    OutOfTime,
}

impl RunEvent {
    pub(super) fn into_step(self) -> Option<Step> {
        match self {
            Self::Step(step) => Some(step),
            Self::Failed(_) | Self::OutOfTime => None,
        }
    }
}

impl AnswerSession<'_> {
    pub(super) fn run_request(
        &self,
        source: StepSource,
        max_steps: Option<usize>,
        lookahead: usize,
    ) -> Result<RunRequest, PipelineError> {
        let transcript = self.transcript(source)?;
        let longest = self.request.stop.iter().map(String::len).max().unwrap_or(0);
        let bytes = self.answer.bytes();
        Ok(RunRequest {
            prefix: transcript.ids().to_vec(),
            position: transcript.position(),
            sampling: self.request.sampling.clone(),
            stream: match source {
                StepSource::Draft => RandomStream::Draft { rejections: self.rejections }.id(),
                StepSource::Target => RandomStream::Target.id(),
            },
            segmentation: Segmentation {
                boundary: self.rsd.settings.boundary.clone(),
                max_tokens: self.rsd.policy.current().settings.steps.max_tokens,
            },
            max_tokens: self.request.max_tokens.saturating_sub(self.tokens.len()),
            max_steps,
            lookahead,
            stop: self.request.stop.clone(),
            tail: bytes[bytes.len().saturating_sub(longest)..].to_vec(),
            logprobs: self.request.logprobs,
            features: self.steps_scored && source == StepSource::Draft && self.rsd.reward.reads_features(),
            live: self.live.as_ref().map(|live| live.start_run(source)),
        })
    }

    pub(super) async fn start(
        &mut self,
        source: StepSource,
        max_steps: Option<usize>,
        lookahead: usize,
    ) -> Result<RunStart, PipelineError> {
        let request = self.run_request(source, max_steps, lookahead)?;
        if self.has_no_room(source)? {
            return Ok(RunStart::NoRoom);
        }
        let model = self.transcript(source)?.model().clone();
        let run = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(PipelineError::Cancelled),
            () = wait_until(self.request.deadline) => return Ok(RunStart::NoRoom),
            run = model.start(request) => run,
        };
        self.record_start(source);
        match run {
            Ok(run) => Ok(RunStart::Running(run)),
            Err(error) if source == StepSource::Target => Err(self.model_failed(source, error)),
            Err(error) => Err(error.into()),
        }
    }

    /// The next step of a run, unless the request is cancelled or out of time first.
    pub(super) async fn next(
        &mut self,
        source: StepSource,
        run: &mut Box<dyn GeneratorRun>,
    ) -> Result<RunEvent, PipelineError> {
        self.in_time(async {
            run.next().await.unwrap_or_else(|| {
                let reason = "its run ended without a final step".to_owned();
                Err(RoleError::Failed { role: source.to_string(), reason })
            })
        })
        .await
    }

    /// A step, unless the request is cancelled or out of time first.
    // Not `&self`, which would have to be `Sync` to be held while waiting; the sink is not.
    pub(super) async fn in_time(
        &mut self,
        step: impl Future<Output = Result<Step, RoleError>>,
    ) -> Result<RunEvent, PipelineError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(PipelineError::Cancelled),
            () = wait_until(self.request.deadline) => Ok(RunEvent::OutOfTime),
            step = step => Ok(match step {
                Ok(step) => RunEvent::Step(step),
                Err(error) => RunEvent::Failed(error),
            }),
        }
    }

    /// Ends a run, adds its cost to the totals, and returns the number of tokens it generated.
    pub(super) async fn close(&mut self, source: StepSource, run: Box<dyn GeneratorRun>) -> usize {
        let report = run.finish().await;
        self.end_live_run();
        self.record_run(source, &report);
        report.generated
    }

    /// The same for a run that failed: it says nothing about speeds and caches.
    pub(super) async fn close_failed(&mut self, source: StepSource, run: Box<dyn GeneratorRun>) {
        let report = run.finish().await;
        self.end_live_run();
        self.record_work(source, &report);
    }

    fn end_live_run(&self) {
        if let Some(live) = &self.live {
            live.end_run();
        }
    }

    /// Adds the cost of a run to the totals, reports it, and learns from it.
    pub(super) fn record_run(&mut self, source: StepSource, report: &RunReport) {
        self.prompt_prefilled.get_or_insert(report.prefilled);
        self.rsd.record_run(source, report);
        self.record_work(source, report);
    }

    pub(super) fn record_work(&mut self, source: StepSource, report: &RunReport) {
        let totals = match source {
            StepSource::Draft => &mut self.trace.totals.draft,
            StepSource::Target => &mut self.trace.totals.target,
        };
        totals.add_call(report.generated, report.prefilled + report.verified, report.prompt, report.seconds);
        self.emit(&PipelineEvent::RunFinished { source, report });
    }
}
