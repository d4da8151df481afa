//! Picks tokens as a request asks, position by position.

use rsd_core::{
    pipeline::roles::RunRequest,
    sampling::{Sampling, TokenCounts, uniform},
};

/// The sampling of a request, and the tokens that its penalties look at.
pub(super) struct TokenPicker {
    sampling: Sampling,
    stream: u64,
    /// The position of the next token in the answer, which keys its randomness.
    position: usize,
    counts: TokenCounts,
}

impl TokenPicker {
    pub(super) fn new(request: &RunRequest) -> Self {
        let counts = if request.sampling.uses_counts() {
            TokenCounts::of_prefix(&request.prefix, request.position)
        } else {
            TokenCounts::default()
        };
        Self { sampling: request.sampling.clone(), stream: request.stream, position: request.position, counts }
    }

    /// Whether [`Self::pick`] changes the logits.
    pub(super) fn changes_logits(&self) -> bool {
        self.sampling.changes_logits()
    }

    /// The token at the next position. The position stays the same until a token is added.
    pub(super) fn pick(&self, logits: &mut [f32]) -> u32 {
        let greedy = self.sampling.temperature <= 0.0;
        let u = if greedy { 0.0 } else { uniform(self.sampling.seed, self.stream, self.position as u64) };
        self.sampling.pick(logits, &self.counts, u)
    }

    /// This token is the next one of the answer.
    pub(super) fn add(&mut self, token: u32) {
        self.position += 1;
        if self.sampling.uses_counts() {
            self.counts.add(token);
        }
    }
}
