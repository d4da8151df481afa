//! Who hears of an answer while it grows.

use super::AnswerProgress;

/// Receives an answer in parts, on the task that generates it, so it must not block.
pub trait AnswerSink: Send {
    /// Every model that takes part has accepted the prompt. Called once, before any progress.
    fn prompt_accepted(&mut self) {}
    /// A part was added to the answer.
    fn progress(&mut self, progress: AnswerProgress);
}

/// A sink that hears of progress alone.
pub(super) struct ProgressCallback<F>(pub F);

impl<F: FnMut(AnswerProgress) + Send> AnswerSink for ProgressCallback<F> {
    fn progress(&mut self, progress: AnswerProgress) {
        (self.0)(progress);
    }
}
