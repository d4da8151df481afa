//! A model that remembers what it wrote to one question.
//!
//! Greedy decoding makes a step a function of the text before it. So RSD at many thresholds, or under another reward,
//! walks one tree of steps, and only its new branches cost a model's time. Tokens are counted as if nothing had been
//! remembered; no time is measured then.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::pipeline::roles::{CacheUse, Generator, Prompt, RoleError, Run, RunReport, RunRequest, Step, StepEnd, Turn};

/// A generator with a memory. One serves one question; its copies share it.
#[derive(Clone)]
pub struct Recall(Arc<Inner>);

struct Inner {
    model: Arc<dyn Generator>,
    /// Whether steps carry features even where nobody asked, because somebody will.
    features: bool,
    /// Whether runs are answered from memory.
    serving: AtomicBool,
    /// The step that follows each prefix.
    steps: Arc<Mutex<HashMap<Vec<u32>, Step>>>,
    /// What the runs of this answer have fed to the model: what a prefix cache would hold.
    fed: Mutex<Vec<Vec<u32>>>,
}

impl Recall {
    /// Gives a model a memory. `features`: its steps are to carry them whoever asks.
    #[must_use]
    pub fn new(model: Arc<dyn Generator>, features: bool) -> Self {
        let serving = AtomicBool::new(false);
        Self(Arc::new(Inner { model, features, serving, steps: Arc::default(), fed: Mutex::default() }))
    }

    /// The same memory, served from, with an account of its own: for work that is no part of an answer.
    #[must_use]
    pub fn aside(&self) -> Self {
        let Inner { model, features, steps, .. } = &*self.0;
        let (model, steps, serving) = (model.clone(), steps.clone(), AtomicBool::new(true));
        Self(Arc::new(Inner { model, features: *features, serving, steps, fed: Mutex::default() }))
    }

    /// Another answer: from an empty cache, and by the model itself or as far as possible from memory.
    pub fn begin(&self, from_memory: bool) {
        self.0.serving.store(from_memory, Ordering::Relaxed);
        self.0.fed.lock().clear();
    }
}

impl Inner {
    /// Tokens of a prefix that no earlier run of this answer has computed. One is always left to compute.
    fn prefilled(&self, prefix: &[u32]) -> usize {
        let fed = self.fed.lock();
        let known = fed.iter().map(|run| run.iter().zip(prefix).take_while(|(a, b)| a == b).count()).max();
        prefix.len() - known.unwrap_or(0).min(prefix.len().saturating_sub(1))
    }
}

#[async_trait]
impl Generator for Recall {
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

    async fn encode_prompt(&self, prompt: &Prompt) -> Result<Vec<u32>, RoleError> {
        self.0.model.encode_prompt(prompt).await
    }

    fn encode_text(&self, text: &str) -> Result<Vec<u32>, RoleError> {
        self.0.model.encode_text(text)
    }

    fn token_bytes(&self, token: u32) -> Vec<u8> {
        self.0.model.token_bytes(token)
    }

    fn identity(&self) -> Option<usize> {
        self.0.model.identity()
    }

    async fn turn(&self) -> Turn {
        self.0.model.turn().await
    }

    fn cache(&self) -> CacheUse {
        self.0.model.cache()
    }

    async fn forget(&self) -> Result<(), RoleError> {
        self.0.model.forget().await
    }

    async fn replay(&self, request: RunRequest, answer: Vec<u32>) -> Result<Vec<Step>, RoleError> {
        self.0.model.replay(request, answer).await
    }

    async fn start(&self, request: RunRequest) -> Result<Box<dyn Run>, RoleError> {
        // What was drawn at random is another time something else.
        if request.sampling.temperature > 0.0 {
            return self.0.model.start(request).await;
        }
        let from_memory = self.0.serving.load(Ordering::Relaxed);
        let features = request.features || self.0.features;
        // What would be drafted ahead of a verdict is not known where steps come from memory, so nothing is.
        let lookahead = if from_memory && request.lookahead != usize::MAX { 0 } else { request.lookahead };
        let request = RunRequest { lookahead, features, ..request };
        let live = if from_memory { None } else { Some(self.0.model.start(request.clone()).await?) };
        Ok(Box::new(RecallRun {
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

struct RecallRun {
    inner: Arc<Inner>,
    /// What is left to do: its prefix grows with every step.
    request: RunRequest,
    from_memory: bool,
    prompt: usize,
    prefilled: usize,
    /// Tokens given out.
    served: usize,
    /// Tokens at the end that were sampled and not fed: the last one, where no end token followed.
    unfed: usize,
    over: bool,
    /// The model at work, where memory has ended.
    live: Option<Box<dyn Run>>,
}

impl RecallRun {
    /// The step goes out: the run goes on after it.
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
impl Run for RecallRun {
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
            // Where a limit cut it says nothing about what follows the prefix.
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
