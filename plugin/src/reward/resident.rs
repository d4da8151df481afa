//! A reward read in the draft's own forward pass: the verdict is there when the step is.

use std::sync::Arc;

use async_trait::async_trait;

use super::head::Head;
use crate::pipeline::roles::{Reward, RoleError, Score, Trajectory};

/// The reward of a head that the draft's sampler has applied already.
pub struct Resident {
    head: Arc<Head>,
}

impl Resident {
    /// The reward of `head`, which the draft was loaded with.
    #[must_use]
    pub fn new(head: Arc<Head>) -> Self {
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

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<Score, RoleError> {
        let reward = trajectory.written.resident_reward;
        let reward = reward.ok_or_else(|| RoleError::Invalid("the draft was loaded without its reward head".into()))?;
        Ok(Score { reward, prompt: 0, prefilled: 0, seconds: 0.0 })
    }
}
