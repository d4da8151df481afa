//! Rewards that know the future: what a perfect judge of steps would be worth.
//!
//! The target goes on from the drafted step to the end, greedily, and the answer it comes to is the verdict. That work
//! is nobody's: an oracle is free.

use async_trait::async_trait;
use rsd_evaluation::{grade, question::Question};

use super::recall::Recall;
use crate::pipeline::{
    roles::{Generator, Prompt, Reward, RoleError, RunRequest, Score, StepEnd, Trajectory},
    segment::Segmentation,
};

/// What an oracle knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Knows {
    /// The right answer.
    Answer,
    /// The answer that the target alone would give.
    Target,
}

/// A reward of 1 where the target still gets there, else 0.
pub(super) struct Oracle {
    pub(super) knows: Knows,
    pub(super) question: Question,
    pub(super) target: Recall,
    pub(super) segmentation: Segmentation,
    /// Most tokens of an answer.
    pub(super) max_tokens: usize,
}

impl Oracle {
    /// The whole answer when the target goes on after `text`; nothing where it does not come to an end.
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
impl Reward for Oracle {
    fn name(&self) -> &'static str {
        "oracle"
    }

    fn parameters(&self) -> Option<u64> {
        Some(0)
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<Score, RoleError> {
        let so_far = trajectory.steps.concat() + trajectory.step;
        let reached = match trajectory.written.end {
            StepEnd::EndOfText | StepEnd::StopString => Some(so_far),
            // An answer that is cut off is wrong, whatever it says.
            StepEnd::Length => None,
            StepEnd::Boundary | StepEnd::StepLimit => self.completed(trajectory.prompt, &so_far).await?,
        };
        let good = match (reached, self.knows) {
            (None, _) => false,
            (Some(text), Knows::Answer) => grade::is_right(&self.question, &text),
            (Some(text), Knows::Target) => {
                let own = self.completed(trajectory.prompt, "").await?;
                let answer = |text: &str| grade::final_answer(self.question.kind, text);
                let both = own.as_deref().and_then(answer).zip(answer(&text));
                both.is_some_and(|(own, reached)| grade::same(self.question.kind, &own, &reached))
            }
        };
        Ok(Score { reward: f64::from(u8::from(good)), ..Score::default() })
    }
}
