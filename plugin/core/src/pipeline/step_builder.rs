//! Builds steps from the tokens of a run: finds boundaries, stop strings and limits, token by token.
//!
//! Engines in this process and engines on other machines share it, so that a step ends at the same token in both.

use std::time::Instant;

use super::{
    live_text::RunText,
    roles::{RunRequest, Step, StepEnd, TokenLogprob},
    segment::{Segmentation, StepCut},
};
use crate::features::StepFeatures;

/// The tokens of a run so far, and the step that is being built.
#[derive(Debug)]
pub struct StepBuilder {
    segmentation: Segmentation,
    stop: Vec<String>,
    /// The last bytes before the current step, in which a stop string may begin.
    tail: Vec<u8>,
    max_tokens: usize,
    max_steps: Option<usize>,
    /// Every token of the run, in order.
    tokens: Vec<u32>,
    /// The index in `tokens` at which the current step begins.
    step_start: usize,
    bytes: Vec<u8>,
    logprobs: Vec<TokenLogprob>,
    steps: usize,
    step_clock: Instant,
    live: Option<RunText>,
}

impl StepBuilder {
    /// Nothing generated yet. The clock of the first step starts now.
    #[must_use]
    pub fn new(request: &RunRequest) -> Self {
        Self {
            segmentation: request.segmentation.clone(),
            stop: request.stop.clone(),
            tail: request.tail.clone(),
            max_tokens: request.max_tokens,
            max_steps: request.max_steps,
            tokens: Vec::new(),
            step_start: 0,
            bytes: Vec::new(),
            logprobs: Vec::new(),
            steps: 0,
            step_clock: Instant::now(),
            live: request.live.clone(),
        }
    }

    /// Every token of the run so far.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Steps completed so far.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Tokens of the step that is being built.
    #[must_use]
    pub fn step_tokens(&self) -> usize {
        self.tokens.len() - self.step_start
    }

    /// Starts the clock of the current step anew, after the run stood still.
    pub fn restart_clock(&mut self) {
        self.step_clock = Instant::now();
    }

    /// Adds a token with its bytes. Returns why the step ends with it, or `None` if it does not end; a step that ends
    /// is to be taken ([`Self::take_step`]) before the next token is added.
    pub fn push(&mut self, token: u32, bytes: &[u8], logprob: Option<TokenLogprob>) -> Option<StepEnd> {
        self.tokens.push(token);
        self.logprobs.extend(logprob);
        let new = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        if let Some(live) = &self.live {
            live.push(bytes);
        }
        if self.completes_stop_string(new) {
            return Some(StepEnd::StopString);
        }
        if self.tokens.len() >= self.max_tokens {
            return Some(StepEnd::Length);
        }
        match self.segmentation.cut(&self.bytes, new, self.step_tokens())? {
            StepCut::Boundary => Some(StepEnd::Boundary),
            StepCut::Limit => Some(StepEnd::StepLimit),
        }
    }

    /// The current step, and the next one begins. Log-probabilities of an end token are left out.
    pub fn take_step(&mut self, end: StepEnd, features: Option<StepFeatures>) -> Step {
        self.logprobs.truncate(self.step_tokens());
        let step = Step {
            tokens: self.tokens[self.step_start..].to_vec(),
            bytes: std::mem::take(&mut self.bytes),
            end,
            features: features.map(Box::new),
            logprobs: std::mem::take(&mut self.logprobs),
            seconds: self.step_clock.elapsed().as_secs_f64(),
        };
        // A stop string may begin in an earlier step, so as many bytes are saved as it could begin with.
        let saved = self.stop.iter().map(String::len).max().unwrap_or(0);
        if saved > 0 {
            self.tail.extend_from_slice(&step.bytes);
            let from = self.tail.len().saturating_sub(saved);
            self.tail.drain(..from);
        }
        self.step_start = self.tokens.len();
        self.steps += 1;
        if let Some(live) = &self.live {
            live.end_step();
        }
        step
    }

    /// Whether the run is over after a step that ended for this reason.
    #[must_use]
    pub fn is_last(&self, end: StepEnd) -> bool {
        end.is_final() || self.max_steps.is_some_and(|max| self.steps >= max)
    }

    /// Whether a stop string ends in the bytes from `new` on.
    fn completes_stop_string(&self, new: usize) -> bool {
        self.stop.iter().any(|stop| {
            let window = stop.len().saturating_sub(1);
            let from = new.saturating_sub(window);
            let missing = window.saturating_sub(new);
            let tail = &self.tail[self.tail.len().saturating_sub(missing)..];
            let mut text = tail.to_vec();
            text.extend_from_slice(&self.bytes[from..]);
            contains(&text, stop.as_bytes())
        })
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pipeline::segment::StepBoundary;

    fn request(stop: &[&str], max_tokens: usize) -> RunRequest {
        let boundary = StepBoundary::Delimiter(vec!["\n\n".to_owned()]);
        let segmentation = Segmentation { boundary, max_tokens: 100 };
        RunRequest {
            stop: stop.iter().map(|stop| (*stop).to_owned()).collect(),
            ..RunRequest::greedy(Vec::new(), segmentation, max_tokens)
        }
    }

    /// Feeds tokens until the run is over; token n is the n-th text.
    fn steps(mut builder: StepBuilder, texts: &[&str]) -> Vec<Step> {
        let mut steps = Vec::new();
        for (token, text) in (0..).zip(texts) {
            if let Some(end) = builder.push(token, text.as_bytes(), None) {
                steps.push(builder.take_step(end, None));
                if builder.is_last(end) {
                    break;
                }
            }
        }
        steps
    }

    #[test]
    fn a_stop_string_over_two_steps_and_the_text_before_the_run_is_found() {
        let texts = ["a", "\n\n", "b", "c"];
        let ends: Vec<_> =
            steps(StepBuilder::new(&request(&["\n\nb"], 9)), &texts).iter().map(|step| step.end).collect();
        assert_eq!(ends, [StepEnd::Boundary, StepEnd::StopString]);
        let resumed = RunRequest { tail: b"x\n\n".to_vec(), ..request(&["\n\nb"], 9) };
        assert_eq!(steps(StepBuilder::new(&resumed), &["b", "c"])[0].end, StepEnd::StopString);
    }

    #[test]
    fn the_limits_on_tokens_and_steps_end_the_run() {
        let run = steps(StepBuilder::new(&request(&[], 3)), &["a", "b", "c", "d"]);
        assert_eq!((run.len(), run[0].tokens.len(), run[0].end), (1, 3, StepEnd::Length));
        let one = RunRequest { max_steps: Some(1), ..request(&[], 9) };
        assert_eq!(steps(StepBuilder::new(&one), &["a", "\n\n", "b", "\n\n"]).len(), 1);
    }

    proptest! {
        #[test]
        fn the_steps_hold_every_token_and_byte_in_order(texts in proptest::collection::vec("[ab.\n]{0,3}", 1..30)) {
            let mut builder = StepBuilder::new(&request(&[], 1000));
            let mut steps = Vec::new();
            for (token, text) in (0..).zip(&texts) {
                if let Some(end) = builder.push(token, text.as_bytes(), None) {
                    steps.push(builder.take_step(end, None));
                }
            }
            steps.push(builder.take_step(StepEnd::EndOfText, None));
            let tokens: Vec<u32> = steps.iter().flat_map(|step| step.tokens.clone()).collect();
            prop_assert_eq!(&tokens, builder.tokens());
            let bytes: Vec<u8> = steps.iter().flat_map(|step| step.bytes.clone()).collect();
            prop_assert_eq!(bytes, texts.concat().into_bytes());
        }
    }
}
