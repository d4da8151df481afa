//! The step sampler: chooses every token of a run, cuts the text into steps and publishes each one.
//!
//! It runs inside mistral.rs's sampling hook. One run goes on over many steps, so an accepted step costs no
//! request, no KV copy and no tokenising. The last token of a run is *recorded* but a sentinel end token is
//! returned in its place: the engine then holds keys and values for exactly the prefix and all recorded tokens
//! but the last, and the next request of this answer finds all but one of its tokens in the cache.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::UnboundedSender;

use super::{States, gate::Gate, vocabulary::Vocabulary};
use crate::{
    logits::normaliser_and_entropy,
    pipeline::{
        roles::{RoleError, RunRequest, Step, StepEnd, TokenLogprob},
        segment::Cut,
    },
    reward::features::Observer,
    sampling::uniform,
};

/// What a run tells its owner.
#[derive(Debug)]
pub(super) enum Event {
    /// A step is written.
    Step(Step),
    /// The run broke; nothing follows but the end.
    Failed(RoleError),
    /// The run is over and its model free.
    End,
}

/// Chooses the tokens of one request, one call per forward pass.
pub(super) trait Chooser: Send {
    /// The token to feed next. After [`Self::ended`] it must go on returning the sentinel: a CPU engine calls once
    /// more when a request ends with its first token.
    fn choose(&mut self, logits: &mut [f32], context: usize) -> u32;
    /// Whether the sentinel was returned.
    fn ended(&self) -> bool;
    /// The first call's context: on a CPU the part of the prompt that no cache held.
    fn computed_prompt(&self) -> usize;
    /// Tokens fed to the engine after the prompt, the sentinel excluded.
    fn fed(&self) -> &[u32];
    /// When the first token was chosen.
    fn first_token(&self) -> Option<Instant>;
}

/// Chooser of a generating run.
pub(super) struct Writer {
    request: RunRequest,
    vocabulary: Arc<Vocabulary>,
    gate: Arc<Gate>,
    events: UnboundedSender<Event>,
    states: States,
    /// Gathers the step's features where somebody reads them.
    observer: Option<Observer>,
    /// Tokens to write in place of sampled ones; after them the answer ends.
    script: Option<Vec<u32>>,
    counts: HashMap<u32, u32>,
    /// Every token chosen, in order; the run's truth.
    recorded: Vec<u32>,
    /// Whether the last recorded token was withheld from the engine by the sentinel.
    withheld: bool,
    /// Where in `recorded` the current step begins.
    step_start: usize,
    bytes: Vec<u8>,
    logprobs: Vec<TokenLogprob>,
    steps: usize,
    step_clock: Instant,
    /// Time spent at the gate, where the model does nothing.
    waited: Duration,
    first_token: Option<Instant>,
    computed_prompt: usize,
    ended: bool,
    calls: usize,
}

impl Writer {
    pub(super) fn new(
        request: RunRequest,
        vocabulary: Arc<Vocabulary>,
        gate: Arc<Gate>,
        events: UnboundedSender<Event>,
        states: States,
    ) -> Self {
        let read = matches!(states, States::Last(_)) && request.features;
        let mut counts = HashMap::new();
        if request.sampling.uses_counts() {
            for &token in &request.prefix {
                *counts.entry(token).or_insert(0) += 1;
            }
        }
        Self {
            request,
            vocabulary,
            gate,
            events,
            observer: read.then(|| Observer::new(states.width())),
            states,
            script: None,
            counts,
            recorded: Vec::new(),
            withheld: false,
            step_start: 0,
            bytes: Vec::new(),
            logprobs: Vec::new(),
            steps: 0,
            step_clock: Instant::now(),
            waited: Duration::ZERO,
            first_token: None,
            computed_prompt: 0,
            ended: false,
            calls: 0,
        }
    }

    /// Writes these tokens in place of sampled ones and ends the answer after them.
    pub(super) fn follow(&mut self, script: Vec<u32>) {
        self.script = Some(script);
    }

    /// Calls so far: forward passes that ended in a choice.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// Prefix and recorded tokens: what a retry after a dead engine continues.
    pub(super) fn prompt_so_far(&self) -> Vec<u32> {
        let mut prompt = self.request.prefix.clone();
        prompt.extend_from_slice(&self.recorded);
        prompt
    }

    /// Tokens chosen so far.
    pub(super) fn generated(&self) -> usize {
        self.recorded.len()
    }

    /// Time spent waiting for verdicts.
    pub(super) fn waited(&self) -> Duration {
        self.waited
    }

    /// Waits for the verdicts; false when the run must end.
    fn pass(&mut self) -> bool {
        let began = Instant::now();
        let goes_on = self.gate.pass(self.steps, self.request.lookahead);
        self.waited += began.elapsed();
        goes_on
    }

    fn end(&mut self) -> u32 {
        self.ended = true;
        self.vocabulary.sentinel
    }

    /// The next token. `output` is all that the output matrix gives: the vocabulary's logits, then the state. `None`
    /// where it is too short for that.
    fn sample(&mut self, output: &mut [f32]) -> Option<u32> {
        let vocabulary = match self.states {
            States::Last(_) => self.states.range(output.len())?.start,
            States::Unseen | States::First(_) => output.len(),
        };
        let (logits, state) = output.split_at_mut(vocabulary);
        let position = (self.request.position + self.recorded.len()) as u64;
        let sampling = &self.request.sampling;
        let u = if sampling.temperature > 0.0 { uniform(sampling.seed, self.request.stream, position) } else { 0.0 };
        let reads = self.observer.is_some() || self.request.logprobs.is_some();
        let unchanged = (reads && sampling.changes_logits()).then(|| logits.to_vec());
        let token = match &self.script {
            Some(script) => match script.get(self.recorded.len()) {
                Some(&token) => token,
                None => self.vocabulary.likeliest_end(logits),
            },
            None => sampling.pick(logits, &self.counts, u),
        };
        let raw = unchanged.as_deref().unwrap_or(logits);
        if let Some(top) = self.request.logprobs {
            self.logprobs.push(logprob_of(token, raw, top));
        }
        if let Some(observer) = &mut self.observer {
            observer.observe(raw, state, token);
        }
        Some(token)
    }

    /// Publishes the current step and begins the next.
    fn publish(&mut self, end: StepEnd) {
        let features = self.observer.as_mut().and_then(Observer::take);
        let step = Step {
            tokens: self.recorded[self.step_start..].to_vec(),
            bytes: std::mem::take(&mut self.bytes),
            end,
            features: features.map(Box::new),
            logprobs: std::mem::take(&mut self.logprobs),
            seconds: self.step_clock.elapsed().as_secs_f64(),
        };
        self.step_start = self.recorded.len();
        self.steps += 1;
        // The owner may have gone; then the gate is stopped and the run ends at the next token.
        let _ = self.events.send(Event::Step(step));
    }

    fn stop_string_completed(&self, new: usize) -> bool {
        self.request.stop.iter().any(|stop| {
            let window = stop.len().saturating_sub(1);
            let from = new.saturating_sub(window);
            let missing = window.saturating_sub(new);
            let tail = &self.request.tail[self.request.tail.len().saturating_sub(missing)..];
            let mut text = tail.to_vec();
            text.extend_from_slice(&self.bytes[from..]);
            contains(&text, stop.as_bytes())
        })
    }

    /// Why the step ends with the token whose bytes begin at `new`, if it does.
    fn step_end(&self, new: usize) -> Option<StepEnd> {
        if self.stop_string_completed(new) {
            return Some(StepEnd::StopString);
        }
        if self.recorded.len() >= self.request.max_tokens {
            return Some(StepEnd::Length);
        }
        let tokens = self.recorded.len() - self.step_start;
        match self.request.segmentation.cut(&self.bytes, new, tokens)? {
            Cut::Boundary => Some(StepEnd::Boundary),
            Cut::Limit => Some(StepEnd::StepLimit),
        }
    }
}

impl Chooser for Writer {
    fn choose(&mut self, logits: &mut [f32], context: usize) -> u32 {
        self.calls += 1;
        if self.calls == 1 {
            self.computed_prompt = context;
        }
        if self.ended || self.gate.is_stopped() {
            return self.end();
        }
        let Some(token) = self.sample(logits) else {
            let reason = format!("its {} logits have no room for its states", logits.len());
            let _ = self.events.send(Event::Failed(RoleError::Failed { role: "draft".to_owned(), reason }));
            return self.end();
        };
        self.first_token.get_or_insert_with(Instant::now);
        if self.vocabulary.is_end(token) {
            self.logprobs.truncate(self.recorded.len() - self.step_start);
            self.publish(StepEnd::EndOfText);
            return self.end();
        }
        self.recorded.push(token);
        if self.request.sampling.uses_counts() {
            *self.counts.entry(token).or_insert(0) += 1;
        }
        let new = self.bytes.len();
        self.bytes.extend_from_slice(&self.vocabulary.bytes(token));

        let Some(end) = self.step_end(new) else {
            return token;
        };
        // A stop string may begin in the step before: keep what it could begin with.
        let keep = self.request.stop.iter().map(String::len).max().unwrap_or(0);
        if keep > 0 {
            self.request.tail.extend_from_slice(&self.bytes);
            let from = self.request.tail.len().saturating_sub(keep);
            self.request.tail.drain(..from);
        }
        self.publish(end);
        let done = end.is_final() || self.request.max_steps.is_some_and(|max| self.steps >= max);
        if done || !self.pass() {
            self.withheld = true;
            return self.end();
        }
        self.step_clock = Instant::now();
        token
    }

    fn ended(&self) -> bool {
        self.ended
    }

    fn computed_prompt(&self) -> usize {
        self.computed_prompt
    }

    fn fed(&self) -> &[u32] {
        &self.recorded[..self.recorded.len() - usize::from(self.withheld)]
    }

    fn first_token(&self) -> Option<Instant> {
        self.first_token
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && haystack.windows(needle.len()).any(|window| window == needle)
}

fn logprob_of(token: u32, logits: &[f32], top: usize) -> TokenLogprob {
    let (z, _) = normaliser_and_entropy(logits);
    let mut best: Vec<(u32, f32)> = (0u32..).zip(logits.iter().copied()).collect();
    let top = top.min(best.len());
    if top > 0 && top < best.len() {
        best.select_nth_unstable_by(top - 1, |a, b| b.1.total_cmp(&a.1));
    }
    best.truncate(top);
    best.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    TokenLogprob {
        id: token,
        logprob: logits.get(token as usize).map_or(f32::NEG_INFINITY, |logit| logit - z),
        top: best.into_iter().map(|(id, logit)| (id, logit - z)).collect(),
    }
}
