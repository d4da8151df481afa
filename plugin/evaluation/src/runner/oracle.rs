//! Oracles: rewards that know how the answer would end, to measure what a perfect reward would be worth.
//!
//! The target continues greedily from the drafted step to the end, and the resulting answer decides the score. This
//! work is not counted.

use crate::question::Question;
use async_trait::async_trait;

use super::memoized_generator::MemoizedGenerator;
use rsd_core::pipeline::{
    roles::{Generator, Prompt, RewardModel, RoleError, RunRequest, StepEnd, StepScore, Trajectory},
    segment::Segmentation,
};

/// What an oracle tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OracleGoal {
    /// Whether the answer is right.
    Answer,
    /// Whether the answer is the one that the target alone gives.
    Target,
}

/// A reward of 1 if the target still reaches the goal after the step, otherwise 0.
pub(super) struct OracleReward {
    pub(super) goal: OracleGoal,
    pub(super) question: Question,
    pub(super) target: MemoizedGenerator,
    pub(super) segmentation: Segmentation,
    /// The limit of an answer's tokens.
    pub(super) max_tokens: usize,
}

impl OracleReward {
    /// The complete answer if the target continues after `text`. `None` if it does not finish.
    async fn completed(&self, prompt: &Prompt, text: &str) -> Result<Option<String>, RoleError> {
        let mut prefix = self.target.encode_prompt(prompt).await?;
        let answer = self.target.encode_text(text)?;
        let position = answer.len();
        prefix.extend(answer);
        if position >= self.max_tokens || prefix.len() >= self.target.context_length() {
            return Ok(None);
        }
        let request = RunRequest::greedy(prefix, self.segmentation.clone(), self.max_tokens - position);
        let mut run = self.target.start(RunRequest { position, ..request }).await?;
        let mut bytes = text.as_bytes().to_vec();
        let mut ended = false;
        while let Some(step) = run.next().await {
            let step = step?;
            bytes.extend_from_slice(&step.bytes);
            ended = step.end == StepEnd::EndOfText;
            if step.end.is_final() {
                break;
            }
        }
        run.finish().await;
        Ok(ended.then(|| String::from_utf8_lossy(&bytes).into_owned()))
    }
}

#[async_trait]
impl RewardModel for OracleReward {
    fn name(&self) -> &'static str {
        "oracle"
    }

    fn parameters(&self) -> Option<u64> {
        Some(0)
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<StepScore, RoleError> {
        let prefix = trajectory.steps.concat() + trajectory.step;
        let reached = match trajectory.generated_step.end {
            StepEnd::EndOfText | StepEnd::StopString => Some(prefix),
            // An answer that is cut off is wrong.
            StepEnd::Length => None,
            StepEnd::Boundary | StepEnd::StepLimit => self.completed(trajectory.prompt, &prefix).await?,
        };
        let good = match (reached, self.goal) {
            (None, _) => false,
            (Some(text), OracleGoal::Answer) => {
                rsd_grading::is_right(self.question.kind, &self.question.answers, &text)
            }
            (Some(text), OracleGoal::Target) => {
                let own = self.completed(trajectory.prompt, "").await?;
                let answer = |text: &str| rsd_grading::final_answer(self.question.kind, text);
                let both = own.as_deref().and_then(answer).zip(answer(&text));
                both.is_some_and(|(own, reached)| rsd_grading::same(self.question.kind, &own, &reached))
            }
        };
        Ok(StepScore { reward: f64::from(u8::from(good)), ..StepScore::default() })
    }
}
