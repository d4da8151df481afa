//! A reward read in the draft's own forward pass: what the verdict takes is there when the step is.

use async_trait::async_trait;

use super::head::Head;
use crate::pipeline::roles::{Reward, RoleError, Score, Trajectory};

/// The reward of a head over what the draft's sampler has seen. It runs no model.
pub struct Resident {
    head: Head,
}

impl Resident {
    /// The reward of a head; the draft must have been loaded so that its states can be seen.
    #[must_use]
    pub fn new(head: Head) -> Self {
        Self { head }
    }
}

#[async_trait]
impl Reward for Resident {
    fn name(&self) -> &'static str {
        "resident"
    }

    fn parameters(&self) -> Option<u64> {
        Some(self.head.parameters())
    }

    fn reads_features(&self) -> bool {
        true
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<Score, RoleError> {
        let features = trajectory.written.features.as_ref();
        let features = features.ok_or_else(|| RoleError::Invalid("the draft's states cannot be seen".to_owned()))?;
        let reward = self.head.reward(trajectory.drafted, features);
        Ok(Score { reward, prompt: 0, prefilled: 0, seconds: 0.0 })
    }
}
