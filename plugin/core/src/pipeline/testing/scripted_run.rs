//! A run of a scripted language model.

use std::{collections::VecDeque, sync::atomic::Ordering::SeqCst};

use async_trait::async_trait;

use super::{ALPHABET, ScriptedModel};
use crate::{
    pipeline::{
        roles::{GeneratorRun, RoleError, RunReport, RunRequest, Step, StepEnd},
        segment::StepCut,
    },
    sampling::{TokenCounts, uniform},
};

pub(super) struct ScriptedRun {
    script: ScriptedModel,
    request: RunRequest,
    pub(super) text: Vec<u8>,
    tail: Vec<u8>,
    generated_steps: VecDeque<Result<Step, RoleError>>,
    steps: usize,
    accepted: usize,
    pub(super) generated: usize,
    prefilled: usize,
    /// Bytes at the end that were sampled and not fed.
    unfed: usize,
    ended: bool,
}

impl ScriptedRun {
    pub(super) fn new(script: &ScriptedModel, request: RunRequest) -> Self {
        assert_eq!(script.live.fetch_add(1, SeqCst), 0, "one run at a time");
        let text = script.decode(&request.prefix);
        Self {
            prefilled: script.prefilled(&text),
            text,
            script: script.clone(),
            tail: request.tail.clone(),
            request,
            generated_steps: VecDeque::new(),
            steps: 0,
            accepted: 0,
            generated: 0,
            unfed: 0,
            ended: false,
        }
    }

    /// The next byte, or `None` for the end token.
    pub(super) fn sample(&mut self) -> Option<u8> {
        let position = (self.request.position + self.generated) as u64;
        self.script.draws.lock().push((self.request.stream, position));
        let u = uniform(self.request.sampling.seed, self.request.stream, position);
        let token = self.request.sampling.pick(&mut self.script.logits(&self.text), &self.counts(), u);
        // A sampled token is fed only when another one is sampled after it.
        self.unfed = usize::from((token as usize) < ALPHABET.len());
        ALPHABET.get(token as usize).copied()
    }

    /// The tokens of the alphabet in prompt and answer, as places in the alphabet.
    fn counts(&self) -> TokenCounts {
        let place = |byte: &u8| (0..).zip(ALPHABET).find(|(_, known)| *known == byte).map(|(place, _)| place);
        let answered = self.request.position + self.generated;
        let (prompt, answer) = self.text.split_at(self.text.len() - answered);
        let answer: Vec<u32> = answer.iter().filter_map(place).collect();
        let prompt: Vec<u32> = prompt.iter().filter_map(place).collect();
        TokenCounts::of_prefix(&[prompt, answer.clone()].concat(), answer.len())
    }

    fn stops(&self) -> bool {
        self.request.stop.iter().any(|stop| self.tail.ends_with(stop.as_bytes()))
    }

    fn generate_step(&mut self) -> Step {
        let (mut bytes, mut logprobs) = (Vec::new(), Vec::new());
        let end = loop {
            let Some(byte) = self.sample() else { break StepEnd::EndOfText };
            let top = self.request.logprobs;
            logprobs.extend(top.map(|top| self.script.logprob(&self.text, Some(byte), top)));
            let new = bytes.len();
            bytes.push(byte);
            self.text.push(byte);
            if let Some(live) = &self.request.live {
                live.push(&[byte]);
            }
            self.tail.push(byte);
            self.generated += 1;
            if self.stops() {
                break StepEnd::StopString;
            }
            let room = self.script.context - self.request.prefix.len();
            if self.generated >= self.request.max_tokens.min(room) {
                break StepEnd::Length;
            }
            match self.request.segmentation.cut(&bytes, new, bytes.len()) {
                Some(StepCut::Boundary) => break StepEnd::Boundary,
                Some(StepCut::Limit) => break StepEnd::StepLimit,
                None => {}
            }
        };
        if let Some(live) = &self.request.live {
            live.end_step();
        }
        Step { tokens: self.script.encode(&bytes), bytes, end, features: None, logprobs, seconds: 0.0 }
    }

    /// Generates as far ahead as the request allows.
    fn generate_ahead(&mut self) {
        while !self.ended && self.steps <= self.accepted.saturating_add(self.request.lookahead) {
            if self.script.fail_step == Some(self.script.steps.fetch_add(1, SeqCst)) {
                self.generated_steps.push_back(Err(self.script.failure("it broke")));
                self.ended = true;
                return;
            }
            let step = self.generate_step();
            self.steps += 1;
            self.ended = step.end.is_final() || self.request.max_steps.is_some_and(|max| self.steps >= max);
            self.generated_steps.push_back(Ok(step));
        }
    }
}

#[async_trait]
impl GeneratorRun for ScriptedRun {
    async fn next(&mut self) -> Option<Result<Step, RoleError>> {
        self.script.valve.pass().await;
        tokio::time::sleep(self.script.delay).await;
        self.generate_ahead();
        assert!(self.ended || !self.generated_steps.is_empty(), "asked for a step beyond the lookahead");
        self.generated_steps.pop_front()
    }

    fn accept(&mut self) {
        self.accepted += 1;
        self.generate_ahead();
    }

    async fn finish(self: Box<Self>) -> RunReport {
        tokio::task::yield_now().await;
        let Self { script, text, generated, prefilled, .. } = &*self;
        let fed = (1..=text.len() - self.unfed).map(|length| text[..length].to_vec());
        script.fed.lock().extend(fed);
        let (generated, prefilled, prompt) = (*generated, *prefilled, self.request.prefix.len());
        let [decode, prefill] = script.token_seconds;
        let prefill_seconds = prefilled as f64 * prefill;
        let seconds = prefill_seconds + generated.saturating_sub(1) as f64 * decode;
        RunReport { generated, prefilled, prompt, prefill_seconds, seconds, ..RunReport::default() }
    }
}

impl Drop for ScriptedRun {
    fn drop(&mut self) {
        self.script.live.fetch_sub(1, SeqCst);
    }
}
