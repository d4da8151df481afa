//! A head that reads the hidden states of a draft on a remote engine, which computes them for it.
//!
//! While an engine decodes, it shows no states. So the draft's model is asked for the state once a step is there, and
//! reads prompt and steps for it. It is the state that a head in the draft reads, so one head serves both.

use std::sync::Arc;

use async_trait::async_trait;
use rsd_core::{
    features::StepFeatures,
    pipeline::{
        prompt_reader::{KNOWN_QUESTION, PromptReader, answer_key},
        roles::{
            CacheUse, ChatMessage, ModelHealth, RemoteTraffic, RewardModel, RoleError, Step, StepEnd, StepScore,
            Trajectory,
        },
    },
};

use crate::{check_counts::CheckCounts, head::RewardHead};

/// Scores steps with a head on the state at their end.
pub struct RemoteResidentReward {
    head: RewardHead,
    reader: Arc<dyn PromptReader>,
}

impl RemoteResidentReward {
    /// `reader` reads the hidden state of the draft's model, which must [suffice](RewardHead::check_last_state_suffices)
    /// the head.
    #[must_use]
    pub fn new(head: RewardHead, reader: Arc<dyn PromptReader>) -> Self {
        Self { head, reader }
    }

    /// Scores the end of a known prompt.
    ///
    /// # Errors
    /// The engine does not answer, or not with a state of the draft.
    pub async fn check(&self) -> Result<(), RoleError> {
        let message = ChatMessage { role: "user".to_owned(), content: KNOWN_QUESTION.to_owned() };
        let prompt = self.reader.encode_chat(&[message]).await?;
        self.read(prompt, KNOWN_QUESTION, CheckCounts::default()).await.map(|_| ())
    }

    async fn read(&self, prompt: Vec<u32>, question: &str, checks: CheckCounts) -> Result<StepScore, RoleError> {
        let mut reading = self.reader.read(prompt, answer_key(question)).await?;
        let last = std::mem::take(&mut reading.values);
        // The head reads neither of the other features.
        let features = StepFeatures { mean: vec![0.0; last.len()], last, ..StepFeatures::default() };
        Ok(reading.score(self.head.reward(&[], &features, checks)))
    }
}

/// The tokens up to the one that the last token of the step was sampled after: where the model ended its answer, all.
fn seen_before_the_end(prefix: &[u32], step: &Step) -> Vec<u32> {
    let mut tokens = [prefix, &step.tokens].concat();
    if step.end != StepEnd::EndOfText {
        tokens.pop();
    }
    tokens
}

#[async_trait]
impl RewardModel for RemoteResidentReward {
    fn name(&self) -> &'static str {
        "resident"
    }

    /// Of the draft's model, which computes the state.
    fn parameters(&self) -> Option<u64> {
        Some(self.reader.parameters()? + self.head.parameters())
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
        self.reader.clear_cache().await
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<StepScore, RoleError> {
        if trajectory.prefix.is_empty() {
            return Err(RoleError::NoOpinion("only the text of the step is known, not its tokens".to_owned()));
        }
        let checks = self.head.checks(&trajectory);
        let prompt = seen_before_the_end(trajectory.prefix, trajectory.generated_step);
        self.read(prompt, &trajectory.prompt.question(), checks).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(tokens: &[u32], end: StepEnd) -> Step {
        Step { tokens: tokens.to_vec(), bytes: Vec::new(), end, features: None, logprobs: Vec::new(), seconds: 0.0 }
    }

    #[test]
    fn the_state_is_the_one_that_the_last_token_was_sampled_from() {
        assert_eq!(seen_before_the_end(&[1, 2], &step(&[3, 4], StepEnd::Boundary)), [1, 2, 3]);
        assert_eq!(seen_before_the_end(&[1, 2], &step(&[3], StepEnd::Boundary)), [1, 2]);
        assert_eq!(seen_before_the_end(&[1, 2], &step(&[3, 4], StepEnd::EndOfText)), [1, 2, 3, 4]);
        assert_eq!(seen_before_the_end(&[1, 2], &step(&[], StepEnd::EndOfText)), [1, 2]);
    }
}
