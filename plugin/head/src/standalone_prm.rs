//! A process reward model (PRM) with an engine of its own. Each score is read at the end of one prompt.
//!
//! The engine runs in this process or on another machine; what is read there is the output of the model's head, or the
//! logits of two tokens. Nothing is generated.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use rsd_config::PrmFamily;
use rsd_core::pipeline::{
    prompt_reader::{KNOWN_QUESTION, KNOWN_STEPS, PromptReader, answer_key},
    roles::{CacheUse, ModelHealth, RemoteTraffic, RewardModel, RoleError, StepScore, Trajectory},
};

use crate::format::PromptFormat;

/// If a prompt does not fit, its oldest steps are left out in blocks of this many. The prompts of the following steps
/// then have the same beginning again, so the prefix cache can be used.
const BLOCK: usize = 4;

/// A reward model that runs a published process reward model.
pub struct StandalonePrm {
    reader: Arc<dyn PromptReader>,
    family: PrmFamily,
    format: Box<dyn PromptFormat>,
    /// The newest prompt and its reward. A step without text gets the score of the step before it at no cost.
    newest: Mutex<Option<(Vec<u32>, f64)>>,
    shortened: AtomicUsize,
}

impl StandalonePrm {
    /// Uses a model of this family. The reader reads the outputs of the model's head, or the logits of the format's
    /// [score tokens](PromptFormat::score_tokens).
    #[must_use]
    pub fn new(reader: Arc<dyn PromptReader>, family: PrmFamily, format: Box<dyn PromptFormat>) -> Self {
        Self { reader, family, format, newest: Mutex::new(None), shortened: AtomicUsize::new(0) }
    }

    /// Scores a known solution of two steps.
    ///
    /// # Errors
    /// The model does not answer, or its score is no number in [0, 1].
    pub async fn check(&self) -> Result<(), RoleError> {
        let score = self.score_newest(KNOWN_QUESTION, &KNOWN_STEPS).await?;
        if (0.0..=1.0).contains(&score.reward) {
            return Ok(());
        }
        Err(RoleError::Invalid(format!(
            "reward: {} was asked to score {:?} as {} does, and the score is {} instead of a number from 0 to 1; is it a \
             model of this kind?",
            self.reader.model(),
            KNOWN_STEPS[1],
            self.family.name(),
            score.reward
        )))
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
        let reading = self.reader.read(prompt.clone(), answer_key(question)).await?;
        let reward = self.format.reward(&reading.values);
        if reward.is_finite() {
            *self.newest.lock() = Some((prompt, reward));
        }
        Ok(reading.score(reward))
    }

    /// The prompt that asks for the score of the last step, with as many of the steps before it as fit.
    fn prompt(&self, question: &str, steps: &[&str]) -> Result<Vec<u32>, RoleError> {
        let mut steps: Vec<&str> = steps.iter().map(|step| step.trim()).filter(|step| !step.is_empty()).collect();
        if steps.is_empty() {
            steps.push("");
        }
        let context = self.reader.context_length();
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
        self.reader.parameters()
    }

    fn cache(&self) -> CacheUse {
        self.reader.cache()
    }

    fn health(&self) -> ModelHealth {
        self.reader.health()
    }

    fn traffic(&self) -> Option<RemoteTraffic> {
        self.reader.traffic()
    }

    async fn clear_cache(&self) -> Result<(), RoleError> {
        *self.newest.lock() = None;
        self.reader.clear_cache().await
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<StepScore, RoleError> {
        let steps: Vec<&str> = trajectory.steps.iter().map(String::as_str).chain([trajectory.step]).collect();
        self.score_newest(&trajectory.prompt.question(), &steps).await
    }
}
