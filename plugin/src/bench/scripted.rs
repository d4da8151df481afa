//! A reward whose verdicts are known beforehand.

use std::sync::Arc;

use async_trait::async_trait;

use crate::pipeline::roles::{CacheUse, Reward, RoleError, Score, Trajectory};

/// The golden ratio's fractional part: its multiples fill the unit interval evenly from the first few on.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// Places in the sequence of verdicts between the beginnings of two rounds: more than a short answer has steps, so that
/// the rounds of a share that refuses few steps do not all keep the same ones.
const ROUND: usize = 7;

/// Does all the work of another reward and gives a verdict of its own: evenly spread over [0, 1), by the step's number.
pub struct Scripted {
    /// The reward whose work is done.
    pub reward: Arc<dyn Reward>,
    /// Each round goes on elsewhere in the sequence of verdicts.
    pub round: usize,
}

/// The verdict on the step of this number, from 0.
fn verdict(round: usize, step: usize) -> f64 {
    ((round * ROUND + step + 1) as f64 * GOLDEN).fract()
}

/// The threshold at which so large a share of scripted steps is kept.
pub(super) fn threshold(share: f64) -> f64 {
    // At 1 none is refused, whatever the verdict: that is the loop's own short cut at thresholds of 0 and below.
    1.0 - share
}

#[async_trait]
impl Reward for Scripted {
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

    async fn forget(&self) -> Result<(), RoleError> {
        self.reward.forget().await
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<Score, RoleError> {
        let score = self.reward.score(trajectory).await?;
        Ok(Score { reward: verdict(self.round, trajectory.steps.len()), ..score })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_keep_the_share_that_was_asked_for() {
        for share in [0.0, 0.25, 0.5, 0.8, 1.0] {
            let kept = |steps: &mut dyn Iterator<Item = (usize, usize)>| {
                steps.filter(|(round, step)| verdict(*round, *step) >= threshold(share)).count()
            };
            let long = kept(&mut (0..50).map(|step| (0, step)));
            assert!((long as f64 / 50.0 - share).abs() <= 0.03, "{share}: {long} of 50");
            // Short answers too, once there are a few of them.
            let short = kept(&mut (0..10).flat_map(|round| (0..5).map(move |step| (round, step))));
            assert!((short as f64 / 50.0 - share).abs() <= 0.1, "{share}: {short} of 50 in ten rounds");
        }
    }
}
