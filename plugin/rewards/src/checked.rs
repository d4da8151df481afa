//! A reward that first checks what a step states.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use rsd_checks::{CheckedStep, StepCheck};
use rsd_core::pipeline::roles::{CacheUse, ModelHealth, RemoteTraffic, RewardModel, RoleError, StepScore, Trajectory};

/// A reward with checks before it. A step with a false statement is not scored: it is rejected with its reason.
pub struct CheckedReward {
    reward: Arc<dyn RewardModel>,
    checks: Vec<Box<dyn StepCheck>>,
}

impl CheckedReward {
    #[must_use]
    pub fn new(reward: Arc<dyn RewardModel>, checks: Vec<Box<dyn StepCheck>>) -> Self {
        Self { reward, checks }
    }

    fn false_statement(&self, trajectory: Trajectory<'_>) -> Option<String> {
        let (question, earlier) = (trajectory.prompt.question(), trajectory.steps);
        let step = CheckedStep { question: &question, earlier, step: trajectory.step };
        self.checks
            .iter()
            .find_map(|check| check.check(&step).false_statements.into_iter().next())
            .map(|found| found.reason)
    }
}

#[async_trait]
impl RewardModel for CheckedReward {
    fn name(&self) -> &str {
        self.reward.name()
    }

    fn parameters(&self) -> Option<u64> {
        self.reward.parameters()
    }

    fn reads_features(&self) -> bool {
        self.reward.reads_features()
    }

    fn cache(&self) -> CacheUse {
        self.reward.cache()
    }

    fn health(&self) -> ModelHealth {
        self.reward.health()
    }

    fn traffic(&self) -> Option<RemoteTraffic> {
        self.reward.traffic()
    }

    async fn clear_cache(&self) -> Result<(), RoleError> {
        self.reward.clear_cache().await
    }

    async fn check_health(&self) -> Result<(), RoleError> {
        self.reward.check_health().await
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<StepScore, RoleError> {
        let began = Instant::now();
        let Some(statement) = self.false_statement(trajectory) else { return self.reward.score(trajectory).await };
        let seconds = began.elapsed().as_secs_f64();
        Ok(StepScore { false_statement: Some(statement), seconds, ..StepScore::default() })
    }
}

#[cfg(test)]
mod tests {
    use rsd_checks::ArithmeticCheck;

    use super::*;
    use crate::testing::{FixedReward, score};

    #[test]
    fn its_health_is_that_of_the_reward() {
        let down = CheckedReward::new(Arc::new(FixedReward::down()), vec![]);
        assert_eq!(down.health(), ModelHealth { running: false, deaths: 1 });
    }

    #[tokio::test]
    async fn a_false_step_has_its_reason_and_is_not_scored() {
        let inner = Arc::new(FixedReward::new(Some(0.9)));
        let reward = CheckedReward::new(inner.clone(), vec![Box::new(ArithmeticCheck)]);
        let found = score(&reward, "12 * 3 = 37").await.unwrap();
        assert_eq!(found.false_statement.as_deref(), Some("12 * 3 = 37 (it is 36)"));
        assert_eq!((found.reward, inner.calls()), (0.0, 0));
        let found = score(&reward, "12 * 3 = 36").await.unwrap();
        assert_eq!((found.false_statement, found.reward, inner.calls()), (None, 0.9, 1));
    }
}
