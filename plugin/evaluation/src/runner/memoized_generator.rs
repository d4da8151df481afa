//! A generator that remembers the steps it generated for one question.
//!
//! With greedy decoding a step is a function of the text before it. RSD at many thresholds, or with another reward,
//! therefore walks one tree of steps, and only new branches cost a model's time. Tokens are counted as if nothing had
//! been remembered; no time is measured for such answers.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use parking_lot::Mutex;

use rsd_core::pipeline::{
    price::TokenPrice,
    roles::{
        AnswerPermit, CacheUse, Generator, GeneratorRun, ModelHealth, Prompt, RemoteTraffic, RoleError, RunReport,
        RunRequest, Step, StepEnd,
    },
};

/// A generator with a memory for one question. Clones share the memory.
#[derive(Clone)]
pub struct MemoizedGenerator(Arc<GeneratorMemory>);

struct GeneratorMemory {
    model: Arc<dyn Generator>,
    /// Whether all steps carry features, because a later run may need them.
    features: bool,
    /// Whether runs take steps from memory.
    serving: AtomicBool,
    /// The step that follows each prefix.
    steps: Arc<Mutex<HashMap<Vec<u32>, Step>>>,
    /// The tokens that the runs of this answer have fed to the model, as a prefix cache would hold them.
    fed: Mutex<Vec<Vec<u32>>>,
}

impl MemoizedGenerator {
    /// Gives a model a memory. `features`: whether all steps carry features.
    #[must_use]
    pub fn new(model: Arc<dyn Generator>, features: bool) -> Self {
        let serving = AtomicBool::new(false);
        Self(Arc::new(GeneratorMemory { model, features, serving, steps: Arc::default(), fed: Mutex::default() }))
    }

    /// A generator on the same memory whose work does not count in the current answer. Takes steps from memory.
    #[must_use]
    pub fn uncounted(&self) -> Self {
        let GeneratorMemory { model, features, steps, .. } = &*self.0;
        let (model, steps, serving) = (model.clone(), steps.clone(), AtomicBool::new(true));
        Self(Arc::new(GeneratorMemory { model, features: *features, serving, steps, fed: Mutex::default() }))
    }

    /// Begins another answer with an empty cache. `from_memory`: whether it takes steps from memory where possible.
    pub fn begin(&self, from_memory: bool) {
        self.0.serving.store(from_memory, Ordering::Relaxed);
        self.0.fed.lock().clear();
    }
}

impl GeneratorMemory {
    /// Tokens of a prefix that no earlier run of this answer has computed; at least one.
    fn prefilled(&self, prefix: &[u32]) -> usize {
        let fed = self.fed.lock();
        let known = fed.iter().map(|run| run.iter().zip(prefix).take_while(|(a, b)| a == b).count()).max();
        prefix.len() - known.unwrap_or(0).min(prefix.len().saturating_sub(1))
    }
}

#[async_trait]
impl Generator for MemoizedGenerator {
    fn role(&self) -> &str {
        self.0.model.role()
    }

    fn name(&self) -> String {
        self.0.model.name()
    }

    fn vocabulary(&self) -> Arc<str> {
        self.0.model.vocabulary()
    }

    fn context_length(&self) -> usize {
        self.0.model.context_length()
    }

    fn parameters(&self) -> Option<u64> {
        self.0.model.parameters()
    }

    fn price(&self) -> Option<TokenPrice> {
        self.0.model.price()
    }

    async fn encode_prompt(&self, prompt: &Prompt) -> Result<Vec<u32>, RoleError> {
        self.0.model.encode_prompt(prompt).await
    }

    fn encode_text(&self, text: &str) -> Result<Vec<u32>, RoleError> {
        self.0.model.encode_text(text)
    }

    fn cached_prompt(&self, prompt: &[u32]) -> usize {
        self.0.model.cached_prompt(prompt)
    }

    fn token_bytes(&self, token: u32) -> Vec<u8> {
        self.0.model.token_bytes(token)
    }

    fn has_token(&self, token: u32) -> bool {
        self.0.model.has_token(token)
    }

    fn engine_id(&self) -> Option<usize> {
        self.0.model.engine_id()
    }

    async fn answer_permit(&self) -> AnswerPermit {
        self.0.model.answer_permit().await
    }

    fn cache(&self) -> CacheUse {
        self.0.model.cache()
    }

    fn health(&self) -> ModelHealth {
        self.0.model.health()
    }

    fn traffic(&self) -> Option<RemoteTraffic> {
        self.0.model.traffic()
    }

    async fn clear_cache(&self) -> Result<(), RoleError> {
        self.0.model.clear_cache().await
    }

    async fn replay(&self, request: RunRequest, answer: Vec<u32>) -> Result<Vec<Step>, RoleError> {
        self.0.model.replay(request, answer).await
    }

    async fn start(&self, request: RunRequest) -> Result<Box<dyn GeneratorRun>, RoleError> {
        // Sampled steps are not reproducible.
        if request.sampling.temperature > 0.0 {
            return self.0.model.start(request).await;
        }
        let from_memory = self.0.serving.load(Ordering::Relaxed);
        let features = request.features || self.0.features;
        // A memory has no lookahead tokens.
        let lookahead = if from_memory && request.lookahead != usize::MAX { 0 } else { request.lookahead };
        let request = RunRequest { lookahead, features, ..request };
        let live = if from_memory { None } else { Some(self.0.model.start(request.clone()).await?) };
        Ok(Box::new(MemoizedRun {
            prefilled: self.0.prefilled(&request.prefix),
            prompt: request.prefix.len(),
            inner: self.0.clone(),
            request,
            from_memory,
            served: 0,
            unfed: 0,
            over: false,
            live,
        }))
    }
}

struct MemoizedRun {
    inner: Arc<GeneratorMemory>,
    /// The rest of the run: its prefix grows with every step.
    request: RunRequest,
    from_memory: bool,
    prompt: usize,
    prefilled: usize,
    /// Tokens returned.
    served: usize,
    /// Tokens at the end that were sampled but not fed: the last one, unless an end token followed it.
    unfed: usize,
    over: bool,
    /// The model's run, once the memory has no next step.
    live: Option<Box<dyn GeneratorRun>>,
}

impl MemoizedRun {
    /// Moves the run past a step that is returned.
    fn advance(&mut self, step: &Step) {
        self.served += step.tokens.len();
        self.unfed = usize::from(step.end != StepEnd::EndOfText);
        self.request.prefix.extend_from_slice(&step.tokens);
        self.request.position += step.tokens.len();
        self.request.max_tokens = self.request.max_tokens.saturating_sub(step.tokens.len());
        self.request.max_steps = self.request.max_steps.map(|steps| steps.saturating_sub(1));
        let longest = self.request.stop.iter().map(String::len).max().unwrap_or(0);
        self.request.tail.extend_from_slice(&step.bytes);
        self.request.tail.drain(..self.request.tail.len().saturating_sub(longest));
        let full = self.request.max_tokens == 0 || self.request.prefix.len() >= self.inner.model.context_length();
        self.over = step.end.is_final() || full || self.request.max_steps == Some(0);
    }
}

#[async_trait]
impl GeneratorRun for MemoizedRun {
    async fn next(&mut self) -> Option<Result<Step, RoleError>> {
        if self.live.is_none() {
            if self.over {
                return None;
            }
            let known = self.inner.steps.lock().get(&self.request.prefix).cloned();
            if let Some(step) = known {
                self.advance(&step);
                return Some(Ok(step));
            }
            match self.inner.model.start(self.request.clone()).await {
                Ok(run) => self.live = Some(run),
                Err(error) => return Some(Err(error)),
            }
        }
        let step = self.live.as_mut()?.next().await?;
        if let Ok(step) = &step {
            // A step that a limit cut off is not the step that follows the prefix.
            if step.end != StepEnd::Length {
                self.inner.steps.lock().insert(self.request.prefix.clone(), step.clone());
            }
            self.advance(step);
        }
        Some(step)
    }

    fn accept(&mut self) {
        if let Some(live) = &mut self.live {
            live.accept();
        }
    }

    async fn finish(self: Box<Self>) -> RunReport {
        let Self { inner, request, from_memory, prompt, prefilled, served, unfed, live, .. } = *self;
        let measured = match live {
            Some(live) => Some(live.finish().await),
            None => None,
        };
        let mut fed = request.prefix;
        fed.truncate(fed.len() - unfed);
        inner.fed.lock().push(fed);
        match measured {
            Some(report) if !from_memory => report,
            _ => RunReport { generated: served, forwards: served, prefilled, prompt, ..RunReport::default() },
        }
    }
}
