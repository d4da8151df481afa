//! A process reward model with an engine of its own: each verdict is one forward over the newest step.
//!
//! The model runs as a causal language model; at the end of the prompt either its hidden state is read, to which the
//! head is applied here in f32, or the logits of two tokens. Nothing is generated.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{
    engine::Engine,
    pipeline::roles::{CacheUse, Generator, Reward, RoleError, Score, Trajectory},
    reward::{
        format::{Family, Format, FormatError, Specials, Spelling},
        layer::{Layer, apply_layers},
    },
};

/// Steps are left out of a prompt that does not fit in blocks of this many: then the prompts of the steps that follow
/// begin alike again, and the prefix cache holds them.
const BLOCK: usize = 4;

/// A reward read from a published process reward model.
pub struct SeparatePrm {
    engine: Engine,
    family: Family,
    format: Box<dyn Format>,
    head: Vec<Layer>,
    /// The tokens whose logits are the verdict, where there is no head.
    verdict: Option<[u32; 2]>,
    /// The newest prompt and its reward: a step without text is judged as the one before it, which costs nothing.
    newest: Mutex<Option<(Vec<u32>, f64)>>,
    shortened: AtomicUsize,
}

impl SeparatePrm {
    /// Takes an engine whose hidden state can be read where `head` has layers, and any language model where it has
    /// none. `separator` replaces the one the family puts between steps.
    ///
    /// # Errors
    /// The model's tokenizer is not one of this family, or its states are not those the head reads.
    pub fn new(
        engine: Engine,
        family: Family,
        specials: Specials,
        head: Vec<Layer>,
        separator: Option<&str>,
    ) -> Result<Self, RoleError> {
        let wrong = |error: FormatError| {
            RoleError::Invalid(format!("reward: {} as {}: {error}", engine.model(), family.name()))
        };
        let format = family.format(Spelling::new(engine.tokenizer(), specials), separator).map_err(wrong)?;
        let invalid = |reason: String| Err(RoleError::Invalid(format!("reward: {reason}")));
        let (verdict, seen) = (format.verdict_tokens(), engine.states().width());
        match head.first().map(|layer| layer.inputs) {
            Some(width) if width != seen => {
                return invalid(format!(
                    "the head reads states of {width} numbers, {} shows {seen}: it was not grafted for it",
                    engine.model()
                ));
            }
            None if verdict.is_none() => return invalid(format!("{} needs a head, and none is given", family.name())),
            _ => {}
        }
        Ok(Self { engine, family, format, head, verdict, newest: Mutex::new(None), shortened: AtomicUsize::new(0) })
    }

    /// How many verdicts were given on a prompt from which the oldest steps were left out, for it did not fit.
    #[must_use]
    pub fn shortened(&self) -> usize {
        self.shortened.load(Ordering::Relaxed)
    }

    /// Scores the newest of `steps`, each as its writer wrote it.
    ///
    /// # Errors
    /// Question and step alone do not fit the model's context, or the engine failed.
    pub async fn score_newest(&self, question: &str, steps: &[&str]) -> Result<Score, RoleError> {
        let prompt = self.prompt(question, steps)?;
        if let Some((_, reward)) = self.newest.lock().as_ref().filter(|(newest, _)| *newest == prompt) {
            return Ok(Score { reward: *reward, prompt: prompt.len(), ..Score::default() });
        }
        let reading = match self.verdict {
            Some(tokens) => self.engine.read_logits(prompt.clone(), tokens.to_vec()).await?,
            None => self.engine.read_state(prompt.clone()).await?,
        };
        // Without layers this leaves the logits as they are.
        let values = apply_layers(&self.head, &reading.logits);
        let reward = self.format.reward(&values);
        if reward.is_finite() {
            *self.newest.lock() = Some((prompt, reward));
        }
        Ok(Score { reward, prompt: reading.prompt, prefilled: reading.prefilled, seconds: reading.seconds })
    }

    /// The prompt that judges the newest step, with as many of the steps before it as fit.
    fn prompt(&self, question: &str, steps: &[&str]) -> Result<Vec<u32>, RoleError> {
        let mut steps: Vec<&str> = steps.iter().map(|step| step.trim()).filter(|step| !step.is_empty()).collect();
        if steps.is_empty() {
            steps.push("");
        }
        let context = self.engine.context_length();
        let mut from = 0;
        loop {
            let prompt = self.format.prompt(question.trim(), &steps[from..]);
            let prompt = prompt.map_err(|error| RoleError::Invalid(format!("reward: {error}")))?;
            let last = steps.len() - 1;
            if prompt.len() < context || from == last {
                if from > 0 && self.shortened.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::warn!(
                        reward = self.family.name(),
                        context,
                        "a solution does not fit the reward model: its oldest steps are left out"
                    );
                }
                return Ok(prompt);
            }
            from = (from + BLOCK).min(last);
        }
    }
}

#[async_trait]
impl Reward for SeparatePrm {
    fn name(&self) -> &str {
        self.family.name()
    }

    fn parameters(&self) -> Option<u64> {
        self.engine.parameters()
    }

    fn cache(&self) -> CacheUse {
        self.engine.cache()
    }

    async fn forget(&self) -> Result<(), RoleError> {
        *self.newest.lock() = None;
        self.engine.forget().await
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<Score, RoleError> {
        let steps: Vec<&str> = trajectory.steps.iter().map(String::as_str).chain([trajectory.step]).collect();
        self.score_newest(trajectory.prompt.question(), &steps).await
    }
}
