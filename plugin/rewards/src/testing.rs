//! A reward with a fixed opinion, and a step to score.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use rsd_core::pipeline::roles::{ModelHealth, Prompt, RewardModel, RoleError, Step, StepEnd, StepScore, Trajectory};

/// Always the same opinion, or none.
pub struct FixedReward {
    opinion: Option<f64>,
    calls: AtomicUsize,
    health: ModelHealth,
}

impl FixedReward {
    pub fn new(opinion: Option<f64>) -> Self {
        Self { opinion, calls: AtomicUsize::new(0), health: ModelHealth::default() }
    }

    /// One whose model has died once and does not run.
    pub fn down() -> Self {
        Self { health: ModelHealth { running: false, deaths: 1 }, ..Self::new(None) }
    }

    pub fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

#[async_trait]
impl RewardModel for FixedReward {
    fn name(&self) -> &'static str {
        "fixed"
    }

    fn parameters(&self) -> Option<u64> {
        Some(10)
    }

    fn health(&self) -> ModelHealth {
        self.health
    }

    async fn score(&self, _: Trajectory<'_>) -> Result<StepScore, RoleError> {
        self.calls.fetch_add(1, SeqCst);
        let reward = self.opinion.ok_or_else(|| RoleError::NoOpinion("fixed".to_owned()))?;
        Ok(StepScore { reward, prompt: 7, prefilled: 3, seconds: 0.5, ..StepScore::default() })
    }
}

/// The score of a step after one earlier step.
pub async fn score(reward: &dyn RewardModel, step: &str) -> Result<StepScore, RoleError> {
    let prompt = Prompt::Text("How many?".to_owned());
    let generated = Step {
        tokens: vec![],
        bytes: step.as_bytes().to_vec(),
        end: StepEnd::Boundary,
        features: None,
        logprobs: vec![],
        seconds: 0.0,
    };
    let earlier = ["First.\n\n".to_owned()];
    let trajectory = Trajectory {
        prompt: &prompt,
        steps: &earlier,
        prefix: &[],
        step,
        generated_step: &generated,
        draft_features: &[],
    };
    reward.score(trajectory).await
}
