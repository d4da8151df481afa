//! A reward model whose scores are known in advance.

use std::sync::Arc;

use async_trait::async_trait;
use rsd_core::pipeline::roles::{CacheUse, RewardModel, RoleError, StepScore, Trajectory};

/// The golden ratio's fractional part. Its multiples modulo 1 fill the unit interval evenly from the first few on.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// Places in the sequence of scores between the starts of two rounds. It is larger than the number of steps of a short
/// answer, so that at a high acceptance rate the rounds do not all accept the same steps.
const ROUND: usize = 7;

/// Does all the work of another reward model and replaces its scores by scripted ones, which depend on the step's
/// number and are spread evenly over [0, 1).
pub struct ScriptedReward {
    /// The reward model that does the work.
    pub reward: Arc<dyn RewardModel>,
    /// The round. Each round starts at another place in the sequence of scores.
    pub round: usize,
}

/// The score of a step; its number counts from 0.
fn scripted_score(round: usize, step: usize) -> f64 {
    ((round * ROUND + step + 1) as f64 * GOLDEN).fract()
}

/// The threshold at which this fraction of scripted steps is accepted.
pub(super) fn threshold(acceptance: f64) -> f64 {
    // At 1 every step is accepted whatever its score, because the loop accepts everything at thresholds of 0 and below.
    1.0 - acceptance
}

#[async_trait]
impl RewardModel for ScriptedReward {
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

    async fn clear_cache(&self) -> Result<(), RoleError> {
        self.reward.clear_cache().await
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<StepScore, RoleError> {
        let score = self.reward.score(trajectory).await?;
        let reward = scripted_score(self.round, trajectory.steps.len());
        Ok(StepScore { reward, false_statement: None, ..score })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripted_scores_give_the_acceptance_rate_that_was_asked_for() {
        for rate in [0.0, 0.25, 0.5, 0.8, 1.0] {
            let accepted = |steps: &mut dyn Iterator<Item = (usize, usize)>| {
                steps.filter(|(round, step)| scripted_score(*round, *step) >= threshold(rate)).count()
            };
            let long = accepted(&mut (0..50).map(|step| (0, step)));
            assert!((long as f64 / 50.0 - rate).abs() <= 0.03, "{rate}: {long} of 50");
            // The rate holds for short answers too, over a few of them.
            let short = accepted(&mut (0..10).flat_map(|round| (0..5).map(move |step| (round, step))));
            assert!((short as f64 / 50.0 - rate).abs() <= 0.1, "{rate}: {short} of 50 in ten rounds");
        }
    }
}
