//! One model decodes the answer, or the rest of it, without scores.

use super::{
    AloneReason, AnswerSession, FinishReason, PipelineError, PipelineEvent, RejectedDraft, StepSource, StepTrace,
    model_run::{RunEvent, RunStart},
};

impl AnswerSession<'_> {
    /// One model generates to the end of the answer, beginning with the step that replaces a rejected one, if there is
    /// one.
    pub(super) async fn generate_alone(
        &mut self,
        source: StepSource,
        reason: Option<AloneReason>,
        mut rejected: Option<RejectedDraft>,
    ) -> Result<FinishReason, PipelineError> {
        let (fallback, handover) = match reason {
            Some(AloneReason::Fallback(reason)) => (Some(reason), None),
            Some(AloneReason::Handover(reason)) => (None, Some(reason)),
            None => (None, None),
        };
        if let Some(fallback) = fallback {
            self.emit(&PipelineEvent::FellBack(fallback));
        }
        if let Some(handover) = handover {
            self.emit(&PipelineEvent::HandedOver(handover));
        }
        let RunStart::Running(mut run) = self.start(source, None, usize::MAX).await? else {
            return Ok(FinishReason::Length);
        };
        loop {
            let step = match self.next(source, &mut run).await? {
                RunEvent::Step(step) => step,
                RunEvent::OutOfTime => {
                    self.close(source, run).await;
                    return Ok(FinishReason::Length);
                }
                RunEvent::Failed(error) => {
                    self.close_failed(source, run).await;
                    return Err(self.model_failed(source, error));
                }
            };
            let mut entry = match rejected.take() {
                Some(rejected) => self.replacement(&step, rejected),
                None => StepTrace::unscored(self.steps.len(), source, &step, self.policy(), fallback),
            };
            if handover.is_some() {
                entry.handover = handover;
                if entry.rejected.is_none() {
                    self.emit(&PipelineEvent::StepAlone { tokens: step.tokens.len() });
                }
            }
            if let Some(finish) = self.append(step, entry)? {
                self.close(source, run).await;
                return Ok(finish);
            }
        }
    }
}
