//! A reward whose verdicts are known beforehand.

use std::sync::Arc;

use async_trait::async_trait;

use crate::pipeline::roles::{CacheUse, Reward, RoleError, Score, Trajectory};

/// The golden ratio's fractional part: its multiples fill the unit interval evenly from the first few on.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// Does all the work of another reward and gives a verdict of its own: evenly spread over [0, 1), by the step's number.
pub struct Scripted(pub Arc<dyn Reward>);

/// The threshold at which so large a share of scripted steps is kept.
pub(super) fn threshold(share: f64) -> f64 {
    // At 1 none is refused, whatever the verdict: that is the loop's own short cut at thresholds of 0 and below.
    1.0 - share
}

#[async_trait]
impl Reward for Scripted {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn parameters(&self) -> Option<u64> {
        self.0.parameters()
    }

    fn reads_features(&self) -> bool {
        self.0.reads_features()
    }

    fn cache(&self) -> CacheUse {
        self.0.cache()
    }

    async fn forget(&self) -> Result<(), RoleError> {
        self.0.forget().await
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<Score, RoleError> {
        let score = self.0.score(trajectory).await?;
        Ok(Score { reward: ((trajectory.steps.len() + 1) as f64 * GOLDEN).fract(), ..score })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_keep_the_share_that_was_asked_for() {
        for share in [0.0, 0.25, 0.5, 0.8, 1.0] {
            let kept = (1..=50).filter(|n| (f64::from(*n) * GOLDEN).fract() >= threshold(share)).count();
            assert!((kept as f64 / 50.0 - share).abs() <= 0.03, "{share}: {kept} of 50");
        }
    }
}
