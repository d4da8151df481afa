//! A language model whose next token is a function of its seed and the text so far.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{ALPHABET, WaitValve, hash, scripted_run::ScriptedRun};
use crate::{
    features::StepFeatures,
    pipeline::{
        price::TokenPrice,
        roles::{
            Generator, GeneratorRun, ModelHealth, Prompt, RemoteTraffic, RoleError, RunRequest, Step, StepEnd,
            TokenLogprob, Verification,
        },
        segment::StepCut,
    },
    sampling::{Sampling, TokenCounts},
};

/// A scripted language model; its tokens are bytes plus `shift`.
#[derive(Clone)]
pub struct ScriptedModel {
    pub role: &'static str,
    pub seed: u64,
    pub shift: u32,
    pub context: usize,
    /// How many tokens of a prompt it says are in its prefix cache.
    pub cached: usize,
    /// Whether it fails to encode prompts.
    pub fail_prompt: bool,
    /// The number of the start that fails, from 0.
    pub fail_start: Option<usize>,
    /// The number of the step that fails, from 0 over all runs.
    pub fail_step: Option<usize>,
    /// The number of the verification that fails, from 0.
    pub fail_verification: Option<usize>,
    /// How long each step takes.
    pub delay: Duration,
    pub price: Option<TokenPrice>,
    /// Reported seconds per decoded and per prefilled token.
    pub token_seconds: [f64; 2],
    pub valve: Arc<WaitValve>,
    pub health: Arc<Mutex<ModelHealth>>,
    pub traffic: Option<RemoteTraffic>,
    pub starts: Arc<AtomicUsize>,
    pub steps: Arc<AtomicUsize>,
    pub verifications: Arc<AtomicUsize>,
    pub live: Arc<AtomicUsize>,
    /// Stream and position of every draw.
    pub draws: Arc<Mutex<Vec<(u64, u64)>>>,
    /// Every text that a run has fed, which is a prefix cache without limits.
    pub(super) fed: Arc<Mutex<HashSet<Vec<u8>>>>,
}

impl ScriptedModel {
    pub fn new(role: &'static str, seed: u64) -> Self {
        Self {
            role,
            seed,
            shift: 0,
            context: 10_000,
            cached: 0,
            fail_prompt: false,
            fail_start: None,
            fail_step: None,
            fail_verification: None,
            delay: Duration::ZERO,
            price: None,
            token_seconds: [0.0; 2],
            valve: Arc::default(),
            health: Arc::default(),
            traffic: None,
            starts: Arc::default(),
            steps: Arc::default(),
            verifications: Arc::default(),
            live: Arc::default(),
            draws: Arc::default(),
            fed: Arc::default(),
        }
    }

    /// Bytes of a prefix that are not cached; at least one.
    pub(super) fn prefilled(&self, prefix: &[u8]) -> usize {
        let fed = self.fed.lock();
        let known = (1..prefix.len()).rev().find(|length| fed.contains(&prefix[..*length]));
        prefix.len() - known.unwrap_or(0)
    }

    pub(super) fn failure(&self, reason: &str) -> RoleError {
        RoleError::Failed { role: self.role.to_owned(), reason: reason.to_owned() }
    }

    /// Logits over the alphabet and the end token.
    pub fn logits(&self, text: &[u8]) -> Vec<f32> {
        let logit = |token: usize| (hash((self.seed, text, token)) % 4001) as f32 / 1000.0 - 2.0;
        let mut logits: Vec<f32> = (0..=ALPHABET.len()).map(logit).collect();
        // Answers end after a while.
        logits[ALPHABET.len()] += text.len() as f32 * 0.03 - 2.0;
        logits
    }

    /// Probabilities over the alphabet and the end token at temperature 1.
    pub fn probabilities(&self, text: &[u8]) -> Vec<f64> {
        let weights: Vec<f64> = self.logits(text).iter().map(|l| f64::from(*l).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|w| w / total).collect()
    }

    /// The likeliest next byte, or `None` for the end token.
    pub fn greedy(&self, text: &[u8]) -> Option<u8> {
        let token = Sampling::default().pick(&mut self.logits(text), &TokenCounts::default(), 0.0);
        ALPHABET.get(token as usize).copied()
    }

    pub(super) fn decode(&self, tokens: &[u32]) -> Vec<u8> {
        tokens.iter().map(|t| u8::try_from(t - self.shift).expect("a token of this vocabulary")).collect()
    }

    /// Token ids of a request, which may be none of this vocabulary.
    fn checked(&self, ids: &[u32]) -> Result<Vec<u32>, RoleError> {
        match ids.iter().find(|id| self.token_bytes(**id).is_empty()) {
            Some(id) => Err(RoleError::Invalid(format!("the {} model has no token {id}", self.role))),
            None => Ok(ids.to_vec()),
        }
    }

    /// The log-probability of what comes after a text, which is a byte or the end token, and of the likeliest bytes.
    #[allow(clippy::cast_possible_truncation, reason = "log-probabilities are f32")]
    pub(super) fn logprob(&self, text: &[u8], next: Option<u8>, top: usize) -> TokenLogprob {
        let token = |byte: u8| u32::from(byte) + self.shift;
        let logprobs = self.probabilities(text).into_iter().map(|p| p.ln() as f32);
        let mut all: Vec<(u32, f32)> = ALPHABET.iter().map(|byte| token(*byte)).zip(logprobs).collect();
        let own = next.map_or(self.shift, token);
        let logprob = all.iter().find(|(id, _)| *id == own).map_or(f32::NEG_INFINITY, |(_, logprob)| *logprob);
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(top);
        TokenLogprob { id: own, logprob, top: all }
    }

    pub(super) fn encode(&self, text: &[u8]) -> Vec<u32> {
        text.iter().map(|b| u32::from(*b) + self.shift).collect()
    }
}

#[async_trait]
impl Generator for ScriptedModel {
    fn role(&self) -> &str {
        self.role
    }

    fn health(&self) -> ModelHealth {
        *self.health.lock()
    }

    fn traffic(&self) -> Option<RemoteTraffic> {
        self.traffic.clone()
    }

    fn vocabulary(&self) -> Arc<str> {
        format!("bytes+{}", self.shift).into()
    }

    fn context_length(&self) -> usize {
        self.context
    }

    fn parameters(&self) -> Option<u64> {
        Some(1)
    }

    fn price(&self) -> Option<TokenPrice> {
        self.price
    }

    async fn encode_prompt(&self, prompt: &Prompt) -> Result<Vec<u32>, RoleError> {
        self.valve.pass().await;
        if self.fail_prompt {
            return Err(self.failure("it would not encode a prompt"));
        }
        match prompt {
            Prompt::Tokens(prompt) if prompt.vocabulary == self.vocabulary() => self.checked(&prompt.ids),
            _ => Ok(self.encode(prompt.question().as_bytes())),
        }
    }

    fn encode_text(&self, text: &str) -> Result<Vec<u32>, RoleError> {
        Ok(self.encode(text.as_bytes()))
    }

    fn cached_prompt(&self, _: &[u32]) -> usize {
        self.cached
    }

    fn token_bytes(&self, token: u32) -> Vec<u8> {
        token.checked_sub(self.shift).and_then(|byte| u8::try_from(byte).ok()).into_iter().collect()
    }

    fn has_token(&self, token: u32) -> bool {
        token < self.shift + 256
    }

    /// The features of a step hold its number of bytes; the log-probabilities hold the byte that this model would have
    /// generated, 0 for the end token.
    async fn replay(&self, request: RunRequest, answer: Vec<u32>) -> Result<Vec<Step>, RoleError> {
        if self.fail_start.is_some() {
            return Err(self.failure("it would not replay"));
        }
        let (mut steps, mut bytes) = (Vec::new(), Vec::new());
        let mut text = self.decode(&request.prefix);
        let mut publish = |bytes: &mut Vec<u8>, end| {
            let own = |byte: &u8| {
                let greedy = self.greedy(&text).map_or(0, |byte| u32::from(byte) + self.shift);
                text.push(*byte);
                TokenLogprob { id: u32::from(*byte) + self.shift, logprob: 0.0, top: vec![(greedy, 0.0)] }
            };
            let logprobs = if request.logprobs.is_some() { bytes.iter().map(own).collect() } else { Vec::new() };
            let bytes = std::mem::take(bytes);
            let features = StepFeatures { mean: vec![bytes.len() as f32], ..StepFeatures::default() };
            let tokens = self.encode(&bytes);
            let features = Some(Box::new(features));
            steps.push(Step { tokens, bytes, end, features, logprobs, seconds: 0.0 });
        };
        let ended = request.max_tokens > answer.len();
        for byte in self.decode(&answer) {
            let new = bytes.len();
            bytes.push(byte);
            match request.segmentation.cut(&bytes, new, bytes.len()) {
                Some(StepCut::Boundary) => publish(&mut bytes, StepEnd::Boundary),
                Some(StepCut::Limit) => publish(&mut bytes, StepEnd::StepLimit),
                None => {}
            }
        }
        if ended || !bytes.is_empty() {
            publish(&mut bytes, if ended { StepEnd::EndOfText } else { StepEnd::Length });
        }
        Ok(steps)
    }

    async fn clear_cache(&self) -> Result<(), RoleError> {
        self.fed.lock().clear();
        Ok(())
    }

    async fn verify(&self, request: &RunRequest, proposal: &[u32]) -> Result<Verification, RoleError> {
        let call = self.verifications.fetch_add(1, SeqCst);
        self.valve.pass().await;
        tokio::time::sleep(self.delay).await;
        if self.fail_verification == Some(call) {
            return Err(self.failure("it would not verify"));
        }
        let whole = self.decode(&[&request.prefix, proposal].concat());
        let mut run = ScriptedRun::new(self, request.clone());
        let mut verification = Verification { computed: self.prefilled(&whole), ..Verification::default() };
        for proposed in proposal.iter().map(Some).chain([None]) {
            let before = run.text.clone();
            let Some(byte) = run.sample() else {
                verification.ended = true;
                break;
            };
            verification.logprobs.extend(request.logprobs.map(|top| self.logprob(&before, Some(byte), top)));
            let token = u32::from(byte) + self.shift;
            verification.tokens.push(token);
            run.text.push(byte);
            run.generated += 1;
            if proposed != Some(&token) {
                break;
            }
        }
        self.fed.lock().extend((1..=whole.len()).map(|length| whole[..length].to_vec()));
        Ok(verification)
    }

    async fn start(&self, request: RunRequest) -> Result<Box<dyn GeneratorRun>, RoleError> {
        let start = self.starts.fetch_add(1, SeqCst);
        self.valve.pass().await;
        if self.fail_start == Some(start) {
            return Err(self.failure("it would not start"));
        }
        assert!(request.max_tokens > 0, "a run without room for a token");
        Ok(Box::new(ScriptedRun::new(self, request)))
    }
}
