//! Reads the logits at the end of a prompt: one forward per token, none for nothing.
//!
//! A CPU engine runs one decode too many when a request ends with its first sampled token. So the prompt's last
//! token is held back and fed as if it had been sampled; its forward then yields the wanted logits and the
//! request ends with its second call.

use std::time::Instant;

use super::{States, writer::Chooser};

/// What is read.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    /// The logits of these tokens.
    Tokens(Vec<u32>),
    /// The hidden state.
    State(States),
}

impl Wanted {
    fn of(&self, logits: &[f32]) -> Option<Vec<f32>> {
        match self {
            Self::Tokens(ids) => {
                let logit = |id: &u32| logits.get(*id as usize).copied().unwrap_or(f32::NEG_INFINITY);
                Some(ids.iter().map(logit).collect())
            }
            Self::State(states) => states.range(logits.len()).map(|range| logits[range].to_vec()),
        }
    }
}

/// Chooser of a request that only wants to see logits.
pub(super) struct Reader {
    /// The prompt's last token, which the engine is fed as its first.
    forced: [u32; 1],
    wanted: Wanted,
    sentinel: u32,
    read: Option<Vec<f32>>,
    computed_prompt: usize,
    first_token: Option<Instant>,
    calls: usize,
}

impl Reader {
    /// Reads `wanted` after a prompt whose last token is `last`.
    pub(super) fn new(last: u32, wanted: Wanted, sentinel: u32) -> Self {
        Self { forced: [last], wanted, sentinel, read: None, computed_prompt: 0, first_token: None, calls: 0 }
    }

    /// What was read, once the request has run; `None` where the logits do not hold it.
    pub(super) fn take(&mut self) -> Option<Vec<f32>> {
        self.read.take()
    }
}

impl Chooser for Reader {
    fn choose(&mut self, logits: &mut [f32], context: usize) -> u32 {
        self.calls += 1;
        if self.calls == 1 {
            self.computed_prompt = context + 1;
            self.first_token = Some(Instant::now());
            return self.forced[0];
        }
        if self.read.is_none() {
            self.read = self.wanted.of(logits);
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
