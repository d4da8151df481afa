//! Scripted models: their next token is a function of their seed and the text so far, drawn with the real sampler.
//!
//! All their waits pass a [`WaitValve`], where a test can make one hang or cancel the request.

use std::{
    collections::{HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use rsd_protocol::settings::{RuntimeLimits, RuntimeSettings, RuntimeSteps};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    features::StepFeatures,
    pipeline::{
        AnswerOutcome, AnswerProgress, PipelineError, PipelineSettings, Request, Rsd,
        observe::NullObserver,
        price::TokenPrice,
        roles::{
            Generator, GeneratorRun, ModelHealth, Prompt, RewardModel, RoleError, RunReport, RunRequest, Step, StepEnd,
            StepScore, TokenLogprob, Trajectory, Verification,
        },
        segment::{StepBoundary, StepCut},
    },
    policy::{AfterRejection, PolicyConfig, PolicyHandle},
    sampling::{Sampling, TokenCounts, uniform},
};

/// What the models can generate; the end token comes after it.
pub const ALPHABET: &[u8] = b"abcdX|";
pub const PROMPT: &str = "Q: ";

/// A hash that is the same on every run.
pub fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Counts the waits of all models and makes a chosen one hang.
#[derive(Default)]
pub struct WaitValve {
    waits: AtomicUsize,
    hang_at: Option<usize>,
    /// Notified when a wait hangs.
    pub hung: Notify,
    cancel: Option<CancellationToken>,
}

impl WaitValve {
    /// The wait with this number never ends; `cancel` is cancelled when it is reached.
    pub fn hanging(at: usize, cancel: Option<CancellationToken>) -> Self {
        Self { hang_at: Some(at), cancel, ..Self::default() }
    }

    pub fn waits(&self) -> usize {
        self.waits.load(SeqCst)
    }

    async fn pass(&self) {
        let wait = self.waits.fetch_add(1, SeqCst);
        tokio::task::yield_now().await;
        if self.hang_at == Some(wait) {
            if let Some(cancel) = &self.cancel {
                cancel.cancel();
            }
            self.hung.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// A scripted language model; its tokens are bytes plus `shift`.
#[derive(Clone)]
pub struct ScriptedModel {
    pub role: &'static str,
    pub seed: u64,
    pub shift: u32,
    pub context: usize,
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
    pub starts: Arc<AtomicUsize>,
    pub steps: Arc<AtomicUsize>,
    pub verifications: Arc<AtomicUsize>,
    pub live: Arc<AtomicUsize>,
    /// Stream and position of every draw.
    pub draws: Arc<Mutex<Vec<(u64, u64)>>>,
    /// Every text that a run has fed, which is a prefix cache without limits.
    fed: Arc<Mutex<HashSet<Vec<u8>>>>,
}

impl ScriptedModel {
    pub fn new(role: &'static str, seed: u64) -> Self {
        Self {
            role,
            seed,
            shift: 0,
            context: 10_000,
            fail_prompt: false,
            fail_start: None,
            fail_step: None,
            fail_verification: None,
            delay: Duration::ZERO,
            price: None,
            token_seconds: [0.0; 2],
            valve: Arc::default(),
            health: Arc::default(),
            starts: Arc::default(),
            steps: Arc::default(),
            verifications: Arc::default(),
            live: Arc::default(),
            draws: Arc::default(),
            fed: Arc::default(),
        }
    }

    /// Bytes of a prefix that are not cached; at least one.
    fn prefilled(&self, prefix: &[u8]) -> usize {
        let fed = self.fed.lock();
        let known = (1..prefix.len()).rev().find(|length| fed.contains(&prefix[..*length]));
        prefix.len() - known.unwrap_or(0)
    }

    fn failure(&self, reason: &str) -> RoleError {
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

    fn decode(&self, tokens: &[u32]) -> Vec<u8> {
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
    fn logprob(&self, text: &[u8], next: Option<u8>, top: usize) -> TokenLogprob {
        let token = |byte: u8| u32::from(byte) + self.shift;
        let logprobs = self.probabilities(text).into_iter().map(|p| p.ln() as f32);
        let mut all: Vec<(u32, f32)> = ALPHABET.iter().map(|byte| token(*byte)).zip(logprobs).collect();
        let own = next.map_or(self.shift, token);
        let logprob = all.iter().find(|(id, _)| *id == own).map_or(f32::NEG_INFINITY, |(_, logprob)| *logprob);
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(top);
        TokenLogprob { id: own, logprob, top: all }
    }

    fn run(&self, request: RunRequest) -> ScriptedRun {
        assert_eq!(self.live.fetch_add(1, SeqCst), 0, "one run at a time");
        let text = self.decode(&request.prefix);
        ScriptedRun {
            prefilled: self.prefilled(&text),
            text,
            script: self.clone(),
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

    fn encode(&self, text: &[u8]) -> Vec<u32> {
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
        let mut run = self.run(request.clone());
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
        Ok(Box::new(self.run(request)))
    }
}

struct ScriptedRun {
    script: ScriptedModel,
    request: RunRequest,
    text: Vec<u8>,
    tail: Vec<u8>,
    generated_steps: VecDeque<Result<Step, RoleError>>,
    steps: usize,
    accepted: usize,
    generated: usize,
    prefilled: usize,
    /// Bytes at the end that were sampled and not fed.
    unfed: usize,
    ended: bool,
}

impl ScriptedRun {
    /// The next byte, or `None` for the end token.
    fn sample(&mut self) -> Option<u8> {
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

/// A fault of a reward model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RewardFault {
    Error,
    Hang,
    Returns(f64),
    /// It has no opinion.
    NoOpinion,
    /// It finds a false statement in each step.
    FindsFalse,
}

/// A scripted reward model: tenths from 0 to 1, a function of the text so far and the step.
#[derive(Clone)]
pub struct ScriptedReward {
    pub seed: u64,
    /// The fault, and the number of the first score that has it.
    pub fault: Option<(RewardFault, usize)>,
    pub calls: Arc<AtomicUsize>,
    pub valve: Arc<WaitValve>,
    /// Called with the number of each score before it is returned.
    pub before: Option<Arc<dyn Fn(usize) + Send + Sync>>,
}

impl ScriptedReward {
    pub fn new(seed: u64) -> Self {
        Self { seed, fault: None, calls: Arc::default(), valve: Arc::default(), before: None }
    }

    pub fn reward_for(&self, steps: &[String], step: &str) -> f64 {
        (hash((self.seed, steps.concat(), step)) % 11) as f64 / 10.0
    }
}

#[async_trait]
impl RewardModel for ScriptedReward {
    fn name(&self) -> &'static str {
        "critic"
    }

    fn parameters(&self) -> Option<u64> {
        Some(1)
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<StepScore, RoleError> {
        let call = self.calls.fetch_add(1, SeqCst);
        self.valve.pass().await;
        if let Some(before) = &self.before {
            before(call);
        }
        let mut score =
            StepScore { reward: self.reward_for(trajectory.steps, trajectory.step), ..StepScore::default() };
        match self.fault.filter(|(_, from)| call >= *from) {
            Some((RewardFault::Error, _)) => {
                return Err(RoleError::Failed { role: "reward".to_owned(), reason: "it broke".to_owned() });
            }
            Some((RewardFault::Hang, _)) => std::future::pending().await,
            Some((RewardFault::Returns(reward), _)) => score.reward = reward,
            Some((RewardFault::NoOpinion, _)) => return Err(RoleError::NoOpinion("critic".to_owned())),
            Some((RewardFault::FindsFalse, _)) => score.false_statement = Some("1 = 2".to_owned()),
            None => {}
        }
        Ok(score)
    }
}

/// Three scripted models, their settings and a request.
#[derive(Clone)]
pub struct World {
    pub draft: ScriptedModel,
    pub target: ScriptedModel,
    pub critic: ScriptedReward,
    pub settings: PipelineSettings,
    pub policy: PolicyConfig,
    /// The other runtime settings.
    pub runtime: RuntimeSettings,
    pub request: Request,
    pub cancel: CancellationToken,
}

/// The result of a request, and the progress that it reported.
pub struct ScriptedAnswer {
    pub result: Result<AnswerOutcome, PipelineError>,
    pub progress: Vec<AnswerProgress>,
}

impl ScriptedAnswer {
    pub fn outcome(&self) -> &AnswerOutcome {
        self.result.as_ref().expect("an answer")
    }

    /// The text of all progress together.
    pub fn streamed(&self) -> String {
        self.progress.iter().map(|progress| progress.text.as_str()).collect()
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            draft: ScriptedModel::new("draft", hash((seed, "draft"))),
            target: ScriptedModel::new("target", hash((seed, "target"))),
            critic: ScriptedReward::new(seed),
            settings: PipelineSettings {
                boundary: StepBoundary::Delimiter(vec!["|".to_owned()]),
                reward_timeout: Duration::from_secs(30),
                proposals: 0,
            },
            policy: PolicyConfig { delta: 0.5, after_rejection: AfterRejection::Draft, ..PolicyConfig::default() },
            runtime: RuntimeSettings {
                steps: RuntimeSteps { max_tokens: 6, lookahead: 1 },
                limits: RuntimeLimits { max_steps: 20, ..RuntimeLimits::default() },
                ..RuntimeSettings::default()
            },
            request: Request::text(PROMPT)
                .sampling(Sampling { seed, temperature: 1.0, ..Sampling::default() })
                .max_tokens(60),
            cancel: CancellationToken::new(),
        }
    }

    /// The same world with another policy.
    pub fn with(&self, policy: PolicyConfig) -> Self {
        Self { policy, ..self.clone() }
    }

    /// The same world with all waits through this valve.
    pub fn through(&self, valve: WaitValve) -> Self {
        let mut world = self.clone();
        let valve = Arc::new(valve);
        world.draft.valve = valve.clone();
        world.target.valve = valve.clone();
        world.critic.valve = valve;
        world
    }

    pub fn rsd(&self) -> Rsd {
        self.rsd_under(Arc::new(
            PolicyHandle::new(RuntimeSettings { policy: self.policy, ..self.runtime.clone() }).expect("a policy"),
        ))
    }

    pub fn rsd_under(&self, policy: Arc<PolicyHandle>) -> Rsd {
        Rsd {
            draft: Arc::new(self.draft.clone()),
            target: Arc::new(self.target.clone()),
            reward: Arc::new(self.critic.clone()),
            policy,
            observer: Arc::new(NullObserver),
            settings: self.settings.clone(),
        }
    }

    /// Answers the request.
    pub async fn answer_async(&self) -> ScriptedAnswer {
        self.answer_on(&self.rsd()).await
    }

    pub async fn answer_on(&self, rsd: &Rsd) -> ScriptedAnswer {
        let mut progress = Vec::new();
        let result = rsd.answer(self.request.clone(), |part| progress.push(part), self.cancel.clone()).await;
        assert_eq!(self.live_runs(), 0, "a run outlived its request");
        ScriptedAnswer { result, progress }
    }

    /// Answers the request outside of any runtime, on a paused clock that advances while all tasks wait.
    pub fn answer(&self) -> AnswerOutcome {
        self.answer_with_progress().outcome().clone()
    }

    pub fn answer_with_progress(&self) -> ScriptedAnswer {
        block_on(self.answer_async())
    }

    /// Number of runs in progress.
    pub fn live_runs(&self) -> usize {
        self.draft.live.load(SeqCst) + self.target.live.load(SeqCst)
    }
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(future)
}
