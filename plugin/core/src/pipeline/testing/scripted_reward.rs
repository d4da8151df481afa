//! A reward model whose score is a function of its seed, the text so far and the step.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use async_trait::async_trait;

use super::{WaitValve, hash};
use crate::pipeline::roles::{RewardModel, RoleError, StepScore, Trajectory};

/// A fault of a reward model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RewardFault {
    Error,
    Hang,
    Returns(f64),
    /// It has no opinion.
    NoOpinion,
    /// It finds a false statement in each step.
    FindsFalse,
}

/// A scripted reward model: tenths from 0 to 1, a function of the text so far and the step.
#[derive(Clone)]
pub struct ScriptedReward {
    pub seed: u64,
    /// The fault, and the number of the first score that has it.
    pub fault: Option<(RewardFault, usize)>,
    pub calls: Arc<AtomicUsize>,
    pub valve: Arc<WaitValve>,
    /// Called with the number of each score before it is returned.
    pub before: Option<Arc<dyn Fn(usize) + Send + Sync>>,
}

impl ScriptedReward {
    pub fn new(seed: u64) -> Self {
        Self { seed, fault: None, calls: Arc::default(), valve: Arc::default(), before: None }
    }

    pub fn reward_for(&self, steps: &[String], step: &str) -> f64 {
        (hash((self.seed, steps.concat(), step)) % 11) as f64 / 10.0
    }
}

#[async_trait]
impl RewardModel for ScriptedReward {
    fn name(&self) -> &'static str {
        "critic"
    }

    fn parameters(&self) -> Option<u64> {
        Some(1)
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<StepScore, RoleError> {
        let call = self.calls.fetch_add(1, SeqCst);
        self.valve.pass().await;
        if let Some(before) = &self.before {
            before(call);
        }
        let mut score =
            StepScore { reward: self.reward_for(trajectory.steps, trajectory.step), ..StepScore::default() };
        match self.fault.filter(|(_, from)| call >= *from) {
            Some((RewardFault::Error, _)) => {
                return Err(RoleError::Failed { role: "reward".to_owned(), reason: "it broke".to_owned() });
            }
            Some((RewardFault::Hang, _)) => std::future::pending().await,
            Some((RewardFault::Returns(reward), _)) => score.reward = reward,
            Some((RewardFault::NoOpinion, _)) => return Err(RoleError::NoOpinion("critic".to_owned())),
            Some((RewardFault::FindsFalse, _)) => score.false_statement = Some("1 = 2".to_owned()),
            None => {}
        }
        Ok(score)
    }
}
