//! The target generates one step in place of a rejected one.

use super::{
    AnswerSession, FinishReason, PipelineError, PipelineEvent, RejectedDraft, Step, StepSource, StepTrace,
    model_run::{RunEvent, RunStart},
};
use crate::pipeline::speculation::{SpeculationReport, speculative_step};

impl AnswerSession<'_> {
    /// Returns why the answer is over after the step, if it is.
    pub(super) async fn replace(&mut self, rejected: RejectedDraft) -> Result<Option<FinishReason>, PipelineError> {
        let speculates = self.rsd.settings.proposals > 0 && self.trace.shared_vocabulary;
        let step = if speculates { self.speculate().await? } else { self.decode().await? };
        let Some(step) = step else { return Ok(Some(FinishReason::Length)) };
        let entry = self.replacement(&step, rejected);
        self.append(step, entry)
    }

    /// One step of the target; `None` if a limit or the deadline leaves no room for it.
    async fn decode(&mut self) -> Result<Option<Step>, PipelineError> {
        let RunStart::Running(mut run) = self.start(StepSource::Target, Some(1), usize::MAX).await? else {
            return Ok(None);
        };
        match self.next(StepSource::Target, &mut run).await? {
            RunEvent::Failed(error) => {
                self.close_failed(StepSource::Target, run).await;
                Err(self.model_failed(StepSource::Target, error))
            }
            event => {
                self.close(StepSource::Target, run).await;
                Ok(event.into_step())
            }
        }
    }

    /// The same, with tokens that the draft proposes.
    async fn speculate(&mut self) -> Result<Option<Step>, PipelineError> {
        let request = self.run_request(StepSource::Target, Some(1), usize::MAX)?;
        if self.has_no_room(StepSource::Target)? {
            return Ok(None);
        }
        let (draft, target) = (self.rsd.draft.clone(), self.rsd.target.clone());
        let mut report = SpeculationReport::default();
        self.record_start(StepSource::Target);
        let step = speculative_step(&draft, &target, request, self.rsd.settings.proposals, &mut report);
        let event = self.in_time(step).await;
        for run in &report.draft_runs {
            self.record_run(StepSource::Draft, run);
        }
        match &event {
            Ok(RunEvent::Step(_)) => self.record_run(StepSource::Target, &report.target),
            // What was cut off says nothing about speeds and caches.
            Ok(RunEvent::Failed(_) | RunEvent::OutOfTime) | Err(_) => {
                self.record_work(StepSource::Target, &report.target);
            }
        }
        self.trace.totals.speculation.add(report.totals);
        match event? {
            RunEvent::Failed(error) => Err(self.model_failed(StepSource::Target, error)),
            event => Ok(event.into_step()),
        }
    }

    /// Counts a rejected step and the target's step that replaces it.
    pub(super) fn replacement(&mut self, step: &Step, rejected: RejectedDraft) -> StepTrace {
        let RejectedDraft { draft, discarded } = rejected;
        let totals = &mut self.trace.totals;
        totals.rejected_steps += 1;
        totals.rejected_tokens += draft.step.tokens.len();
        totals.discarded_lookahead_tokens += discarded;
        self.emit(&PipelineEvent::StepReplaced { tokens: step.tokens.len() });
        StepTrace::replacement(self.steps.len(), step, &draft, discarded)
    }
}
