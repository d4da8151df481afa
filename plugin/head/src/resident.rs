//! A reward from the draft's own forward pass: the features are ready when the step is, so scoring runs no model.

use async_trait::async_trait;

use rsd_core::pipeline::roles::{RewardModel, RoleError, StepScore, Trajectory};

use crate::head::RewardHead;

/// Scores steps with a head on the features that the draft's sampler has collected.
pub struct ResidentReward {
    head: RewardHead,
}

impl ResidentReward {
    /// The draft must be loaded so that its hidden states are exposed.
    #[must_use]
    pub fn new(head: RewardHead) -> Self {
        Self { head }
    }
}

#[async_trait]
impl RewardModel for ResidentReward {
    fn name(&self) -> &'static str {
        "resident"
    }

    fn parameters(&self) -> Option<u64> {
        Some(self.head.parameters())
    }

    fn reads_features(&self) -> bool {
        true
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<StepScore, RoleError> {
        let features = trajectory.generated_step.features.as_ref();
        let features =
            features.ok_or_else(|| RoleError::Invalid("the draft does not expose its hidden states".to_owned()))?;
        let checks = self.head.checks(&trajectory);
        let reward = self.head.reward(trajectory.draft_features, features, checks);
        Ok(StepScore { reward, ..StepScore::default() })
    }
}
