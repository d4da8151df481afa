//! Labels the steps of a collected solution: by the scores of another reward model, or by how often the draft reaches
//! the right answer when it continues from the step (after Math-Shepherd, arXiv 2312.08935).

use std::sync::Arc;

use rsd_core::{
    pipeline::roles::{Generator, Prompt, RewardModel, RoleError, RunRequest, Step, Trajectory},
    sampling::RandomStream,
};

use super::{CollectionError, SolutionGrader};

/// Where the labels of steps come from.
#[derive(Clone)]
pub enum StepLabeler {
    /// The rewards of another model.
    Reward(Arc<dyn RewardModel>),
    /// The share of continuations with the right final answer.
    Continuations(ContinuationLabeler),
}

/// How often, and from which steps, the draft continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContinuationLabeler {
    /// Number of continuations from the end of each chosen step.
    pub count: u32,
    /// Every `every`-th step is chosen.
    pub every: usize,
}

impl StepLabeler {
    /// One label per step of a solution; `None` for a step without one. `request` is the request that the solution
    /// answers, `prompt` the same as messages.
    ///
    /// # Errors
    /// The model that labels failed, or a continuation cannot be graded.
    pub async fn label(
        &self,
        draft: &dyn Generator,
        prompt: &Prompt,
        request: &RunRequest,
        grader: SolutionGrader<'_>,
        steps: &[Step],
    ) -> Result<Vec<Option<f64>>, CollectionError> {
        match self {
            Self::Reward(reward) => Ok(rewards(&**reward, prompt, &request.prefix, steps).await?),
            Self::Continuations(labeler) => labeler.label(draft, request, grader, steps).await,
        }
    }
}

async fn rewards(
    reward: &dyn RewardModel,
    prompt: &Prompt,
    prompt_ids: &[u32],
    steps: &[Step],
) -> Result<Vec<Option<f64>>, RoleError> {
    let texts: Vec<String> = steps.iter().map(Step::text).collect();
    let mut prefix = prompt_ids.to_vec();
    let mut labels = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        let trajectory = Trajectory {
            prompt,
            steps: &texts[..index],
            prefix: &prefix,
            step: &texts[index],
            generated_step: step,
            draft_features: &[],
        };
        labels.push(match reward.score(trajectory).await {
            Ok(score) => Some(score.reward).filter(|reward| (0.0..=1.0).contains(reward)),
            // A solution that is too long for the model does not spoil the others.
            Err(RoleError::ContextExceeded { .. }) => None,
            Err(error) => return Err(error),
        });
        prefix.extend_from_slice(&step.tokens);
    }
    Ok(labels)
}

impl ContinuationLabeler {
    /// The last step needs no continuation: its label is whether the solution is right.
    async fn label(
        self,
        draft: &dyn Generator,
        request: &RunRequest,
        grader: SolutionGrader<'_>,
        steps: &[Step],
    ) -> Result<Vec<Option<f64>>, CollectionError> {
        let (mut prefix, mut bytes) = (request.prefix.clone(), Vec::new());
        let mut labels = Vec::with_capacity(steps.len());
        for (index, step) in steps.iter().enumerate() {
            prefix.extend_from_slice(&step.tokens);
            bytes.extend_from_slice(&step.bytes);
            if index + 1 == steps.len() {
                labels.push(Some(f64::from(u8::from(grader.is_right(&String::from_utf8_lossy(&bytes)).await?))));
                break;
            }
            let position = prefix.len() - request.prefix.len();
            let room =
                request.max_tokens.saturating_sub(position).min(draft.context_length().saturating_sub(prefix.len()));
            if !(index + 1).is_multiple_of(self.every) || room == 0 {
                labels.push(None);
                continue;
            }
            let mut right = 0u32;
            for number in 0..self.count {
                let step = u32::try_from(index).unwrap_or(u32::MAX);
                let run = RunRequest {
                    prefix: prefix.clone(),
                    position,
                    stream: RandomStream::Continuation { step, index: number }.id(),
                    max_tokens: room,
                    features: false,
                    ..request.clone()
                };
                let mut text = bytes.clone();
                let mut run = draft.start(run).await?;
                while let Some(step) = run.next().await {
                    text.extend_from_slice(&step?.bytes);
                }
                right += u32::from(grader.is_right(&String::from_utf8_lossy(&text)).await?);
            }
            labels.push(Some(f64::from(right) / f64::from(self.count)));
        }
        Ok(labels)
    }
}

#[cfg(test)]
mod tests;
