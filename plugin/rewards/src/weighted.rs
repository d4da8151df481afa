//! The weighted mean of several rewards.

use std::sync::Arc;

use async_trait::async_trait;
use rsd_core::pipeline::roles::{CacheUse, ModelHealth, RemoteTraffic, RewardModel, RoleError, StepScore, Trajectory};

/// Several rewards with their weights, which are positive. A part without an opinion leaves the others' weights; a part
/// that fails fails the whole, so that a step is never decided by another reward than the configured one.
pub struct WeightedReward {
    parts: Vec<(f64, Arc<dyn RewardModel>)>,
}

impl WeightedReward {
    #[must_use]
    pub fn new(parts: Vec<(f64, Arc<dyn RewardModel>)>) -> Self {
        Self { parts }
    }
}

#[async_trait]
impl RewardModel for WeightedReward {
    fn name(&self) -> &'static str {
        "weighted"
    }

    fn parameters(&self) -> Option<u64> {
        self.parts.iter().map(|(_, part)| part.parameters()).sum()
    }

    fn reads_features(&self) -> bool {
        self.parts.iter().any(|(_, part)| part.reads_features())
    }

    fn cache(&self) -> CacheUse {
        self.parts.iter().map(|(_, part)| part.cache()).fold(CacheUse::default(), |all, part| CacheUse {
            bytes: all.bytes.map_or(part.bytes, |bytes| Some(bytes + part.bytes.unwrap_or(0))),
            flushes: all.flushes + part.flushes,
        })
    }

    fn health(&self) -> ModelHealth {
        let parts = self.parts.iter().map(|(_, part)| part.health());
        parts.fold(ModelHealth::default(), |all, part| ModelHealth {
            running: all.running && part.running,
            deaths: all.deaths + part.deaths,
        })
    }

    fn traffic(&self) -> Option<RemoteTraffic> {
        self.parts.iter().filter_map(|(_, part)| part.traffic()).reduce(RemoteTraffic::with)
    }

    async fn clear_cache(&self) -> Result<(), RoleError> {
        for (_, part) in &self.parts {
            part.clear_cache().await?;
        }
        Ok(())
    }

    async fn check_health(&self) -> Result<(), RoleError> {
        for (_, part) in &self.parts {
            part.check_health().await?;
        }
        Ok(())
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<StepScore, RoleError> {
        let (mut mean, mut weights) = (StepScore::default(), 0.0);
        for (weight, part) in &self.parts {
            let score = match part.score(trajectory).await {
                Ok(score) => score,
                Err(RoleError::NoOpinion(_)) => continue,
                Err(error) => return Err(error),
            };
            mean.reward += weight * score.reward;
            mean.prompt += score.prompt;
            mean.prefilled += score.prefilled;
            mean.seconds += score.seconds;
            mean.false_statement = mean.false_statement.or(score.false_statement);
            weights += weight;
        }
        if weights <= 0.0 {
            return Err(RoleError::NoOpinion(self.name().to_owned()));
        }
        // A rounding error must not leave the range of rewards; what a part has left it by is still invalid.
        let exact = mean.reward / weights;
        mean.reward = if (exact - 1.0).abs() < 1e-9 { 1.0 } else { exact };
        Ok(mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FixedReward, score};

    fn weighted(parts: &[(f64, Option<f64>)]) -> WeightedReward {
        let part = |(weight, opinion): &(f64, Option<f64>)| {
            let part: Arc<dyn RewardModel> = Arc::new(FixedReward::new(*opinion));
            (*weight, part)
        };
        WeightedReward::new(parts.iter().map(part).collect())
    }

    #[tokio::test]
    async fn the_mean_is_weighted_and_costs_add_up() {
        let found = score(&weighted(&[(3.0, Some(1.0)), (1.0, Some(0.0))]), "x").await.unwrap();
        assert_eq!((found.reward, found.prompt, found.prefilled, found.seconds), (0.75, 14, 6, 1.0));
        assert_eq!(weighted(&[(1.0, None), (1.0, None)]).parameters(), Some(20));
    }

    #[test]
    fn it_runs_where_all_parts_run() {
        assert_eq!(weighted(&[(1.0, None), (1.0, None)]).health(), ModelHealth::default());
        let down: [Arc<dyn RewardModel>; 3] =
            [Arc::new(FixedReward::down()), Arc::new(FixedReward::new(None)), Arc::new(FixedReward::down())];
        let down = WeightedReward::new(down.map(|part| (1.0, part)).into());
        assert_eq!(down.health(), ModelHealth { running: false, deaths: 2 });
    }

    #[tokio::test]
    async fn a_part_without_an_opinion_leaves_the_others_weights() {
        let found = score(&weighted(&[(3.0, None), (1.0, Some(0.25)), (1.0, Some(0.75))]), "x").await.unwrap();
        assert_eq!(found.reward, 0.5);
        let none = score(&weighted(&[(3.0, None), (1.0, None)]), "x").await.unwrap_err();
        assert!(matches!(none, RoleError::NoOpinion(_)), "{none}");
    }
}
