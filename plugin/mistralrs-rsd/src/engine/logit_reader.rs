//! Reads the logits at the end of a prompt without a superfluous forward pass.
//!
//! A CPU engine runs one decode step too many if a request ends with its first sampled token. So the last token of the
//! prompt is held back and fed as if it had been sampled. Its forward pass yields the requested logits, and the request
//! ends with the second call.

use std::time::Instant;

use super::step_sampler::TokenSelector;
use rsd_head::state_layout::StateLayout;

/// Which part of an output row is read.
#[derive(Debug, Clone)]
pub(super) enum LogitSelection {
    /// The logits of these tokens.
    Tokens(Vec<u32>),
    /// The hidden state.
    State(StateLayout),
}

impl LogitSelection {
    fn read_from(&self, logits: &[f32]) -> Option<Vec<f32>> {
        match self {
            Self::Tokens(ids) => {
                let logit = |id: &u32| logits.get(*id as usize).copied().unwrap_or(f32::NEG_INFINITY);
                Some(ids.iter().map(logit).collect())
            }
            Self::State(states) => states.range(logits.len()).map(|range| logits[range].to_vec()),
        }
    }
}

/// Selects the tokens of a request that only reads logits.
pub(super) struct LogitReader {
    /// The prompt's last token, which the engine gets as the first token of the answer.
    forced: [u32; 1],
    selection: LogitSelection,
    sentinel: u32,
    logits: Option<Vec<f32>>,
    computed_prompt: usize,
    first_token: Option<Instant>,
    calls: usize,
}

impl LogitReader {
    /// Reads `selection` after a prompt whose last token is `last`.
    pub(super) fn new(last: u32, selection: LogitSelection, sentinel: u32) -> Self {
        Self { forced: [last], selection, sentinel, logits: None, computed_prompt: 0, first_token: None, calls: 0 }
    }

    /// The selected logits, once the request has run. `None` if the output row does not contain them.
    pub(super) fn take_logits(&mut self) -> Option<Vec<f32>> {
        self.logits.take()
    }
}

impl TokenSelector for LogitReader {
    fn select(&mut self, logits: &mut [f32], context: usize) -> u32 {
        self.calls += 1;
        if self.calls == 1 {
            self.computed_prompt = context + 1;
            self.first_token = Some(Instant::now());
            return self.forced[0];
        }
        if self.logits.is_none() {
            self.logits = self.selection.read_from(logits);
        }
        self.sentinel
    }

    fn ended(&self) -> bool {
        self.calls > 1
    }

    fn computed_prompt(&self) -> usize {
        self.computed_prompt
    }

    fn fed(&self) -> &[u32] {
        if self.calls > 0 { &self.forced } else { &[] }
    }

    fn first_token(&self) -> Option<Instant> {
        self.first_token
    }
}
