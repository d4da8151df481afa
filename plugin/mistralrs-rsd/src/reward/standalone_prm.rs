//! A process reward model (PRM) with an engine of its own. Each score is one forward pass over the newest step.
//!
//! The model runs as a causal language model. At the end of the prompt either its hidden state is read and the head is
//! applied to it here in f32, or the logits of two tokens are read. Nothing is generated.

use rsd_config::PrmFamily;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::engine::Engine;

use rsd_core::pipeline::roles::{CacheUse, Generator, ModelHealth, RewardModel, RoleError, StepScore, Trajectory};

use rsd_head::{
    format::{FormatError, PrmTokenizer, PromptFormat, SpecialTokens, prompt_format},
    layer::{DenseLayer, apply_layers},
};

/// If a prompt does not fit, its oldest steps are left out in blocks of this many. The prompts of the following steps
/// then have the same beginning again, so the prefix cache can be used.
const BLOCK: usize = 4;

/// A reward model that runs a published process reward model.
pub struct StandalonePrm {
    engine: Engine,
    family: PrmFamily,
    format: Box<dyn PromptFormat>,
    head: Vec<DenseLayer>,
    /// The two tokens whose logits give the score, for a model without a head.
    score_tokens: Option<[u32; 2]>,
    /// The newest prompt and its reward. A step without text gets the score of the step before it at no cost.
    newest: Mutex<Option<(Vec<u32>, f64)>>,
    shortened: AtomicUsize,
}

impl StandalonePrm {
    /// Uses an engine as a reward model of this family. If `head` has layers, the model must expose its hidden states.
    /// `separator` replaces the separator that the family puts between steps.
    ///
    /// # Errors
    /// The model's tokenizer is not one of this family, or its hidden states do not fit the head.
    pub fn new(
        engine: Engine,
        family: PrmFamily,
        special_tokens: SpecialTokens,
        head: Vec<DenseLayer>,
        separator: Option<&str>,
    ) -> Result<Self, RoleError> {
        let wrong = |error: FormatError| {
            RoleError::Invalid(format!("reward: {} as {}: {error}", engine.model(), family.name()))
        };
        let format =
            prompt_format(family, PrmTokenizer::new(engine.tokenizer(), special_tokens), separator).map_err(wrong)?;
        let invalid = |reason: String| Err(RoleError::Invalid(format!("reward: {reason}")));
        let (score_tokens, exposed) = (format.score_tokens(), engine.states().width());
        match head.first().map(|layer| layer.inputs) {
            Some(width) if width != exposed => {
                return invalid(format!(
                    "the head reads hidden states of {width} numbers, but {} exposes {exposed}; prepare the model again with `mistralrs-rsd prm prepare`",
                    engine.model()
                ));
            }
            None if score_tokens.is_none() => {
                return invalid(format!("{} needs a head; name its file in reward.head", family.name()));
            }
            _ => {}
        }
        Ok(Self {
            engine,
            family,
            format,
            head,
            score_tokens,
            newest: Mutex::new(None),
            shortened: AtomicUsize::new(0),
        })
    }

    /// Number of scores for which the oldest steps were left out of the prompt, because it did not fit the context.
    #[must_use]
    pub fn shortened(&self) -> usize {
        self.shortened.load(Ordering::Relaxed)
    }

    /// Scores the last of `steps`, which are the texts of the solution's steps as they were generated.
    ///
    /// # Errors
    /// The question and the last step alone do not fit the model's context, or the engine failed.
    pub async fn score_newest(&self, question: &str, steps: &[&str]) -> Result<StepScore, RoleError> {
        let prompt = self.prompt(question, steps)?;
        if let Some((_, reward)) = self.newest.lock().as_ref().filter(|(newest, _)| *newest == prompt) {
            return Ok(StepScore { reward: *reward, prompt: prompt.len(), ..StepScore::default() });
        }
        let reading = match self.score_tokens {
            Some(tokens) => self.engine.read_logits(prompt.clone(), tokens.to_vec()).await?,
            None => self.engine.read_state(prompt.clone()).await?,
        };
        // Without layers this returns the logits unchanged.
        let values = apply_layers(&self.head, &reading.logits);
        let reward = self.format.reward(&values);
        if reward.is_finite() {
            *self.newest.lock() = Some((prompt, reward));
        }
        Ok(StepScore {
            reward,
            prompt: reading.prompt,
            prefilled: reading.prefilled,
            seconds: reading.seconds,
            ..StepScore::default()
        })
    }

    /// The prompt that asks for the score of the last step, with as many of the steps before it as fit.
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
                        "a solution does not fit the context of the reward model, so its oldest steps are left out"
                    );
                }
                return Ok(prompt);
            }
            from = (from + BLOCK).min(last);
        }
    }
}

#[async_trait]
impl RewardModel for StandalonePrm {
    fn name(&self) -> &str {
        self.family.name()
    }

    fn parameters(&self) -> Option<u64> {
        self.engine.parameters()
    }

    fn cache(&self) -> CacheUse {
        self.engine.cache()
    }

    fn health(&self) -> ModelHealth {
        self.engine.health()
    }

    async fn clear_cache(&self) -> Result<(), RoleError> {
        *self.newest.lock() = None;
        self.engine.clear_cache().await
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<StepScore, RoleError> {
        let steps: Vec<&str> = trajectory.steps.iter().map(String::as_str).chain([trajectory.step]).collect();
        self.score_newest(&trajectory.prompt.question(), &steps).await
    }
}
