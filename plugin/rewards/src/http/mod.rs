//! A scorer of the user's own, asked over HTTP.
//!
//! A step is sent as `POST {"question", "steps", "step"}`. The answer is `{"reward": r}` with r in [0, 1], or
//! `{"reward": null}` for no opinion. A scorer that takes batches gets `{"items": [...]}` with such objects, and answers
//! `{"rewards": [...]}` in the same order.

mod client;
mod step_queue;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rsd_core::pipeline::roles::{ModelHealth, RewardModel, RoleError, StepScore, Trajectory};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use client::ScorerClient;
use step_queue::StepQueue;

/// Where a scorer answers and how it is asked.
#[derive(Clone)]
pub struct HttpScorer {
    pub url: String,
    /// Sent as a bearer token.
    pub token: Option<String>,
    /// Of one attempt.
    pub timeout: Duration,
    /// Attempts after one that failed.
    pub retries: u32,
    /// Steps in one request, at most; with 1 the scorer gets every step by itself.
    pub max_batch: usize,
}

/// Asks a scorer for each step.
pub struct HttpReward {
    client: Arc<ScorerClient>,
    /// For a scorer that takes batches.
    queue: Option<StepQueue>,
}

impl HttpReward {
    #[must_use]
    pub fn new(scorer: HttpScorer) -> Self {
        let max_batch = scorer.max_batch;
        let client = Arc::new(ScorerClient::new(scorer));
        let queue = (max_batch > 1).then(|| StepQueue::new(client.clone(), max_batch));
        Self { client, queue }
    }

    /// The reward of a step; `None` for no opinion.
    async fn ask(&self, step: Value) -> Result<Option<f64>, RoleError> {
        let answer = match &self.queue {
            Some(queue) => queue.ask(step).await,
            None => self.client.ask_one(&step).await,
        };
        answer.map_err(|error| RoleError::Failed {
            role: "reward".to_owned(),
            reason: format!("{}: {}", self.client.url(), error.reason),
        })
    }
}

/// A step that every scorer can score.
fn probe() -> Value {
    json!({ "question": "What is 1 + 1?", "steps": [], "step": "1 + 1 = 2" })
}

#[async_trait]
impl RewardModel for HttpReward {
    fn name(&self) -> &'static str {
        "http"
    }

    /// The scorer's own work is not this server's.
    fn parameters(&self) -> Option<u64> {
        Some(0)
    }

    /// From the newest score; without one in the last seconds, from a probe in the background, whose result the next call
    /// gives.
    fn health(&self) -> ModelHealth {
        if let Ok(runtime) = Handle::try_current()
            && self.client.health.claim_probe()
        {
            let client = self.client.clone();
            runtime.spawn(async move { client.probe(probe()).await });
        }
        self.client.health.current()
    }

    async fn check_health(&self) -> Result<(), RoleError> {
        self.ask(probe()).await.map(drop)
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<StepScore, RoleError> {
        let began = Instant::now();
        let question = trajectory.prompt.question();
        let step = json!({ "question": question, "steps": trajectory.steps, "step": trajectory.step });
        let reward = self.ask(step).await?.ok_or_else(|| RoleError::NoOpinion(self.name().to_owned()))?;
        Ok(StepScore { reward, seconds: began.elapsed().as_secs_f64(), ..StepScore::default() })
    }
}

#[cfg(test)]
mod tests;
