//! An answer ends: its totals are complete, the observers hear of it, and its outcome is made.

use super::{
    AnswerOutcome, AnswerProgress, AnswerSession, AnswerText, FinishReason, PipelineError, PipelineEvent, Transcript,
};
use crate::pipeline::observe::AnswerEnd;

impl AnswerSession<'_> {
    /// Completes the totals and reports the end, once.
    pub(super) fn report_end(&mut self, error: Option<&PipelineError>) {
        let Some(began) = self.began.take() else { return };
        let totals = &mut self.trace.totals;
        totals.seconds = began.elapsed().as_secs_f64();
        totals.flops = self.rsd.parameters().map(|parameters| totals.flops(parameters));
        totals.cost = self.rsd.prices().map(|prices| totals.cost(&prices));
        self.emit(&PipelineEvent::AnswerEnded(&AnswerEnd {
            request: &self.request,
            steps_scored: self.steps_scored,
            error,
            trace: &self.trace,
            prompt_tokens: self.prompt_tokens(),
            prompt_prefilled: self.prompt_prefilled.unwrap_or(0),
            completion_tokens: self.tokens.len(),
        }));
    }

    pub(super) fn prompt_tokens(&self) -> usize {
        self.target.as_ref().or(self.draft.as_ref()).map_or(0, Transcript::prompt_len)
    }

    /// What the caller gets; called once, because it takes the tokens, the trace and the log-probabilities.
    pub(super) fn outcome(&mut self, finish: FinishReason) -> AnswerOutcome {
        let rest = self.answer.finish();
        if !rest.is_empty() {
            self.sink.progress(AnswerProgress { text: rest, step: None, logprobs: Vec::new() });
        }
        let prompt_tokens = self.prompt_tokens();
        let cached = self.prompt_prefilled.map(|prefilled| prompt_tokens.saturating_sub(prefilled));
        let text = AnswerText::new(self.request.stop.clone()).push_all(self.answer.bytes());
        AnswerOutcome {
            text,
            completion_tokens: self.tokens.len(),
            tokens: std::mem::take(&mut self.tokens),
            finish,
            prompt_tokens,
            cached_prompt_tokens: cached,
            trace: std::mem::take(&mut self.trace),
            logprobs: std::mem::take(&mut self.logprobs),
        }
    }
}

impl Drop for AnswerSession<'_> {
    /// A caller that drops the future of an answer has cancelled it. The trace lacks the run that was dropped.
    fn drop(&mut self) {
        // An observer that panics during a panic would end the program.
        if !std::thread::panicking() {
            self.report_end(Some(&PipelineError::Cancelled));
        }
    }
}
