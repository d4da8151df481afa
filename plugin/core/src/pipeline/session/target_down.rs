//! The draft decodes the rest of an answer whose target failed, if the limits say so.

use super::{
    AloneReason, AnswerSession, FallbackReason, FinishReason, PipelineError, Step, StepEnd, StepSource, Transcript,
};

impl AnswerSession<'_> {
    /// Whether the draft decodes the rest, after an error. Who asked for one model alone gets that model or an error.
    pub(super) fn draft_stands_in(&self) -> bool {
        self.target_failed && self.steps_scored && self.rsd.draft_stands_in()
    }

    /// The draft goes on after the last whole step, to the end. Where it cannot, the error of the target stays.
    pub(super) async fn continue_without_target(
        &mut self,
        error: PipelineError,
    ) -> Result<FinishReason, PipelineError> {
        tracing::error!(%error, "the target failed; the draft generates the rest of the answer alone");
        let accepted = self.target.is_some();
        // Another answer may use the target meanwhile; and whoever waits for the draft must not hold it.
        self.permits.retain(|(source, _)| *source == StepSource::Draft);
        match self.resume_draft().await {
            Ok(()) => {}
            Err(PipelineError::Cancelled) => return Err(PipelineError::Cancelled),
            Err(_) => return Err(error),
        }
        if self.draft.as_ref().is_none_or(Transcript::is_full) {
            return Err(error);
        }
        if !accepted {
            self.begin();
        }
        let reason = AloneReason::Fallback(FallbackReason::TargetFailed);
        match self.generate_alone(StepSource::Draft, Some(reason), None).await {
            Err(PipelineError::Role(second)) => {
                tracing::error!(error = %second, "the draft failed too");
                Err(error)
            }
            finish => finish,
        }
    }

    /// Takes the draft's permit where this answer holds it no more, and gives the draft the answer so far where it took
    /// no part in it.
    async fn resume_draft(&mut self) -> Result<(), PipelineError> {
        if self.draft.is_none() {
            let Some(mut draft) = self.open(StepSource::Draft).await? else { return Ok(()) };
            draft.push(&self.answer_so_far(), self.trace.shared_vocabulary)?;
            self.draft = Some(draft);
        } else if self.permits.is_empty() {
            let permit = self.wait_for_permit(StepSource::Draft).await?;
            self.permits.push((StepSource::Draft, permit));
        }
        Ok(())
    }

    /// The target's steps as one.
    fn answer_so_far(&self) -> Step {
        Step {
            tokens: self.tokens.clone(),
            bytes: self.answer.bytes().to_vec(),
            end: StepEnd::Boundary,
            features: None,
            logprobs: Vec::new(),
            seconds: 0.0,
        }
    }
}
