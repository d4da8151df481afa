//! Requests to a scorer, with retries.

use std::{io::Read as _, sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::HttpScorer;
use crate::scorer_health::ScorerHealth;

/// Longer answers are not read. The limit is for each step.
const MOST_BYTES: u64 = 64 << 10;
/// The wait before the first retry; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// A scorer, and whether it answers.
pub(super) struct ScorerClient {
    scorer: HttpScorer,
    agent: ureq::Agent,
    pub health: ScorerHealth,
}

/// Why a scorer gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScorerError {
    pub reason: String,
    /// Whether another attempt may succeed.
    pub passing: bool,
}

impl ScorerError {
    fn lasting(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), passing: false }
    }
}

/// For each step its reward; `None` for no opinion.
type Rewards = Vec<Option<f64>>;

impl ScorerClient {
    pub fn new(scorer: HttpScorer) -> Self {
        // No redirect gets the token.
        let agent = ureq::AgentBuilder::new().timeout(scorer.timeout).redirects(0).build();
        Self { scorer, agent, health: ScorerHealth::default() }
    }

    pub fn url(&self) -> &str {
        &self.scorer.url
    }

    /// The reward of one step.
    pub async fn ask_one(self: &Arc<Self>, step: &Value) -> Result<Option<f64>, ScorerError> {
        Ok(self.ask(std::slice::from_ref(step)).await?.into_iter().next().flatten())
    }

    /// The rewards of steps, which are sent in one request, again if it fails in a way that may pass.
    pub async fn ask(self: &Arc<Self>, steps: &[Value]) -> Result<Rewards, ScorerError> {
        let mut wait = FIRST_WAIT;
        let mut attempt = 0;
        let body = self.body(steps);
        loop {
            let error = match self.attempt(body.clone(), steps.len()).await {
                Ok(rewards) => {
                    self.health.learn(true);
                    return Ok(rewards);
                }
                Err(error) => error,
            };
            if !error.passing || attempt == self.scorer.retries {
                // A step that the scorer does not take says nothing about the next one.
                if error.passing {
                    self.health.learn(false);
                }
                return Err(error);
            }
            tracing::debug!(url = self.scorer.url, reason = error.reason, "the scorer is asked again");
            attempt += 1;
            tokio::time::sleep(wait.mul_f64(rand::random_range(0.5..1.0))).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Asks once for a step, only to learn whether the scorer answers.
    pub async fn probe(self: Arc<Self>, step: Value) {
        let answered = self.attempt(self.body(&[step]), 1).await.is_ok();
        self.health.learn(answered);
    }

    fn takes_batches(&self) -> bool {
        self.scorer.max_batch > 1
    }

    fn body(&self, steps: &[Value]) -> String {
        if self.takes_batches() { json!({ "items": steps }).to_string() } else { steps[0].to_string() }
    }

    async fn attempt(self: &Arc<Self>, body: String, steps: usize) -> Result<Rewards, ScorerError> {
        let client = self.clone();
        let answered = tokio::task::spawn_blocking(move || client.attempt_blocking(&body, steps)).await;
        answered.unwrap_or_else(|stopped| Err(ScorerError::lasting(stopped.to_string())))
    }

    fn attempt_blocking(&self, body: &str, steps: usize) -> Result<Rewards, ScorerError> {
        let mut request = self.agent.post(&self.scorer.url).set("Content-Type", "application/json");
        if let Some(token) = &self.scorer.token {
            request = request.set("Authorization", &format!("Bearer {token}"));
        }
        let response = match request.send_string(body) {
            Ok(response) => response,
            Err(ureq::Error::Status(status, _)) => {
                let passing = status >= 500 || status == 429;
                return Err(ScorerError { reason: format!("the scorer answered with status {status}"), passing });
            }
            Err(error) => return Err(ScorerError { reason: error.to_string(), passing: true }),
        };
        if response.status() != 200 {
            let status = response.status();
            return Err(ScorerError::lasting(format!("the scorer answered with status {status}, expected 200")));
        }
        let limit = MOST_BYTES * steps as u64;
        let mut text = Vec::new();
        let read = response.into_reader().take(limit + 1).read_to_end(&mut text);
        read.map_err(|error| ScorerError { reason: error.to_string(), passing: true })?;
        if text.len() as u64 > limit {
            return Err(ScorerError::lasting(format!("the answer is longer than {limit} bytes")));
        }
        let read = if self.takes_batches() { batch_rewards(&text, steps) } else { single_reward(&text) };
        read.map_err(ScorerError::lasting)
    }
}

/// The answer for a step that was sent by itself.
fn single_reward(text: &[u8]) -> Result<Rewards, String> {
    let expected = "expected {\"reward\": r} with r from 0 to 1, or {\"reward\": null}";
    let answer: Value = serde_json::from_slice(text).map_err(|error| format!("{expected}, found {error}"))?;
    let reward = answer.get("reward").ok_or_else(|| format!("{expected}, found no `reward`"))?;
    let reward = opinion(reward).map_err(|found| format!("{expected}, found {found}"))?;
    Ok(vec![reward])
}

/// The answer for a batch of steps.
fn batch_rewards(text: &[u8], steps: usize) -> Result<Rewards, String> {
    let expected = format!("expected {{\"rewards\": [...]}} with {steps} items, each a number from 0 to 1 or null");
    let answer: Value = serde_json::from_slice(text).map_err(|error| format!("{expected}, found {error}"))?;
    let rewards = answer.get("rewards").and_then(Value::as_array);
    let rewards = rewards.ok_or_else(|| format!("{expected}, found no list `rewards`"))?;
    if rewards.len() != steps {
        return Err(format!("{expected}, found {}", rewards.len()));
    }
    let read: Result<Rewards, String> = rewards.iter().map(opinion).collect();
    read.map_err(|found| format!("{expected}, found {found}"))
}

/// A reward from 0 to 1, or `None` for no opinion.
fn opinion(value: &Value) -> Result<Option<f64>, String> {
    match value.as_f64() {
        Some(reward) if (0.0..=1.0).contains(&reward) => Ok(Some(reward)),
        Some(other) => Err(format!("the reward {other}")),
        None if value.is_null() => Ok(None),
        None => Err("a reward that is no number".to_owned()),
    }
}
