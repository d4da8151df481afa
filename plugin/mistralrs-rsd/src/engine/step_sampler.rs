//! The step sampler: samples every token of a run, cuts the text into steps and sends each step to the caller.
//!
//! It runs inside mistral.rs's sampling hook. One run spans many steps, so an accepted step needs no new request, no
//! copy of the KV cache and no tokenization. The last token of a run is *recorded*, but the engine gets a sentinel
//! end token in its place. The engine then holds keys and values of the prefix and of all recorded tokens except the
//! last, so the next request of this answer finds all but one of its tokens in the cache.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::UnboundedSender;

use super::{gate::StepGate, token_picker::TokenPicker};
use rsd_core::{
    features::FeatureCollector,
    logits::normalizer_and_entropy,
    pipeline::{
        roles::{RoleError, RunRequest, Step, StepEnd, TokenLogprob},
        step_builder::StepBuilder,
    },
};
use rsd_head::state_layout::StateLayout;
use rsd_vocabulary::Vocabulary;

/// What a run sends to its caller.
#[derive(Debug)]
pub(super) enum RunEvent {
    Step(Step),
    /// The run failed. Only [`RunEvent::End`] follows.
    Failed(RoleError),
    /// The run has ended and its model is free.
    End,
}

/// Selects the tokens of one request, one call per forward pass.
pub(super) trait TokenSelector: Send {
    /// Returns the token to feed next. Once [`Self::ended`] is true it must keep returning the sentinel, because a CPU
    /// engine calls once more if a request ends with its first token.
    fn select(&mut self, logits: &mut [f32], context: usize) -> u32;
    /// True once the sentinel was returned.
    fn ended(&self) -> bool;
    /// The length of the context in the first call. On a CPU this is the part of the prompt that no cache held.
    fn computed_prompt(&self) -> usize;
    /// Tokens fed to the engine after the prompt, without the sentinel.
    fn fed(&self) -> &[u32];
    /// When the first token was selected.
    fn first_token(&self) -> Option<Instant>;
}

/// Selects the tokens of a generating run.
pub(super) struct StepSampler {
    request: RunRequest,
    vocabulary: Arc<Vocabulary>,
    gate: Arc<StepGate>,
    events: UnboundedSender<RunEvent>,
    states: StateLayout,
    /// Collects the features of the step if the reward reads them.
    collector: Option<FeatureCollector>,
    /// Tokens to take instead of sampled ones. The answer ends after them.
    script: Option<Vec<u32>>,
    picker: TokenPicker,
    /// Every token selected so far, cut into steps.
    builder: StepBuilder,
    /// True if the engine got the sentinel instead of the last token of `builder`.
    withheld: bool,
    /// Time spent waiting at the gate, during which the model is idle.
    waited: Duration,
    first_token: Option<Instant>,
    computed_prompt: usize,
    ended: bool,
    calls: usize,
}

impl StepSampler {
    pub(super) fn new(
        request: RunRequest,
        vocabulary: Arc<Vocabulary>,
        gate: Arc<StepGate>,
        events: UnboundedSender<RunEvent>,
        states: StateLayout,
    ) -> Self {
        let collects = matches!(states, StateLayout::Last(_)) && request.features;
        Self {
            builder: StepBuilder::new(&request),
            picker: TokenPicker::new(&request),
            request,
            vocabulary,
            gate,
            events,
            collector: collects.then(|| FeatureCollector::new(states.width())),
            states,
            script: None,
            withheld: false,
            waited: Duration::ZERO,
            first_token: None,
            computed_prompt: 0,
            ended: false,
            calls: 0,
        }
    }

    /// Takes these tokens instead of sampled ones and ends the answer after them.
    pub(super) fn follow(&mut self, script: Vec<u32>) {
        self.script = Some(script);
    }

    /// Calls so far, which are the forward passes after which a token was selected.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// The prefix and the recorded tokens. A retry after a dead engine continues from them.
    pub(super) fn prompt_so_far(&self) -> Vec<u32> {
        let mut prompt = self.request.prefix.clone();
        prompt.extend_from_slice(self.builder.tokens());
        prompt
    }

    /// Tokens selected so far.
    pub(super) fn generated(&self) -> usize {
        self.builder.tokens().len()
    }

    /// Time spent waiting for decisions.
    pub(super) fn waited(&self) -> Duration {
        self.waited
    }

    /// Waits until enough steps are decided; false if the run must end.
    fn wait_for_decisions(&mut self) -> bool {
        let began = Instant::now();
        let continues = self.gate.wait_to_continue(self.builder.steps(), self.request.lookahead);
        self.waited += began.elapsed();
        continues
    }

    fn end(&mut self) -> u32 {
        self.ended = true;
        self.vocabulary.sentinel()
    }

    /// Samples the next token and reports its log-probability if the request asks for it. `output` is a row of the output
    /// matrix: the logits of the vocabulary, then the hidden state. `None` if the row is too short for both.
    fn sample(&mut self, output: &mut [f32]) -> Option<(u32, Option<TokenLogprob>)> {
        let vocabulary = match self.states {
            StateLayout::Last(_) => self.states.range(output.len())?.start,
            StateLayout::NotExposed | StateLayout::First(_) => output.len(),
        };
        let (logits, state) = output.split_at_mut(vocabulary);
        let needs_raw = self.collector.is_some() || self.request.logprobs.is_some();
        let unchanged = (needs_raw && self.picker.changes_logits()).then(|| logits.to_vec());
        let token = match &self.script {
            Some(script) => match script.get(self.builder.tokens().len()) {
                Some(&token) => token,
                None => self.vocabulary.likeliest_end(logits),
            },
            None => self.picker.pick(logits),
        };
        let raw = unchanged.as_deref().unwrap_or(logits);
        let logprob = self.request.logprobs.map(|top| logprob_of(token, raw, top));
        if let Some(collector) = &mut self.collector {
            collector.add_token(raw, state, token);
        }
        Some((token, logprob))
    }

    /// Sends the current step to the caller and begins the next one.
    fn send_step(&mut self, end: StepEnd) {
        let features = self.collector.as_mut().and_then(FeatureCollector::take_features);
        let step = self.builder.take_step(end, features);
        // If the caller has gone, the gate is stopped and the run ends at the next token.
        let _ = self.events.send(RunEvent::Step(step));
    }
}

impl TokenSelector for StepSampler {
    fn select(&mut self, logits: &mut [f32], context: usize) -> u32 {
        self.calls += 1;
        if self.calls == 1 {
            self.computed_prompt = context;
        }
        if self.ended || self.gate.is_stopped() {
            return self.end();
        }
        let Some((token, logprob)) = self.sample(logits) else {
            let reason = format!("its output row of {} numbers is too short for its hidden states", logits.len());
            let _ = self.events.send(RunEvent::Failed(RoleError::Failed { role: "draft".to_owned(), reason }));
            return self.end();
        };
        self.first_token.get_or_insert_with(Instant::now);
        if self.vocabulary.is_end(token) {
            self.send_step(StepEnd::EndOfText);
            return self.end();
        }
        self.picker.add(token);
        let Some(end) = self.builder.push(token, &self.vocabulary.bytes(token), logprob) else {
            return token;
        };
        self.send_step(end);
        if self.builder.is_last(end) || !self.wait_for_decisions() {
            self.withheld = true;
            return self.end();
        }
        self.builder.restart_clock();
        token
    }

    fn ended(&self) -> bool {
        self.ended
    }

    fn computed_prompt(&self) -> usize {
        self.computed_prompt
    }

    fn fed(&self) -> &[u32] {
        let tokens = self.builder.tokens();
        &tokens[..tokens.len() - usize::from(self.withheld)]
    }

    fn first_token(&self) -> Option<Instant> {
        self.first_token
    }
}

pub(super) fn logprob_of(token: u32, logits: &[f32], top: usize) -> TokenLogprob {
    let (z, _) = normalizer_and_entropy(logits);
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
