//! A scorer of the user's own, asked over HTTP.
//!
//! A step is sent as `POST {"question", "steps", "step"}`. The answer is `{"reward": r}` with r in [0, 1], or
//! `{"reward": null}` for no opinion.

use std::{
    io::Read as _,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rsd_core::pipeline::roles::{ModelHealth, RewardModel, RoleError, StepScore, Trajectory};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::scorer_health::ScorerHealth;

/// Longer answers are not read.
const MOST_BYTES: u64 = 64 << 10;
/// The wait before the first retry; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

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
}

/// Asks a scorer for each step.
pub struct HttpReward {
    scorer: Arc<HttpScorer>,
    agent: ureq::Agent,
    health: Arc<ScorerHealth>,
}

/// Why an attempt failed.
struct AttemptError {
    reason: String,
    /// Whether another attempt may succeed.
    passing: bool,
}

impl HttpReward {
    #[must_use]
    pub fn new(scorer: HttpScorer) -> Self {
        // No redirect gets the token.
        let agent = ureq::AgentBuilder::new().timeout(scorer.timeout).redirects(0).build();
        Self { scorer: Arc::new(scorer), agent, health: Arc::default() }
    }

    /// The reward of a step; `None` for no opinion.
    async fn ask(&self, body: Value) -> Result<Option<f64>, RoleError> {
        let mut wait = FIRST_WAIT;
        let mut attempt = 0;
        loop {
            let (agent, scorer, sent) = (self.agent.clone(), self.scorer.clone(), body.clone());
            let answered = tokio::task::spawn_blocking(move || attempt_once(&agent, &scorer, &sent)).await;
            let error = match answered {
                Ok(Ok(answer)) => {
                    self.health.learn(true);
                    return Ok(answer);
                }
                Ok(Err(error)) => error,
                Err(stopped) => AttemptError { reason: stopped.to_string(), passing: false },
            };
            if !error.passing || attempt == self.scorer.retries {
                // A step that the scorer does not take says nothing about the next one.
                if error.passing {
                    self.health.learn(false);
                }
                let reason = format!("{}: {}", self.scorer.url, error.reason);
                return Err(RoleError::Failed { role: "reward".to_owned(), reason });
            }
            tracing::debug!(url = self.scorer.url, reason = error.reason, "the scorer is asked again");
            attempt += 1;
            tokio::time::sleep(wait.mul_f64(rand::random_range(0.5..1.0))).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

/// A step that every scorer can score.
fn probe() -> Value {
    json!({ "question": "What is 1 + 1?", "steps": [], "step": "1 + 1 = 2" })
}

fn attempt_once(agent: &ureq::Agent, scorer: &HttpScorer, body: &Value) -> Result<Option<f64>, AttemptError> {
    let mut request = agent.post(&scorer.url).set("Content-Type", "application/json");
    if let Some(token) = &scorer.token {
        request = request.set("Authorization", &format!("Bearer {token}"));
    }
    let response = match request.send_string(&body.to_string()) {
        Ok(response) => response,
        Err(ureq::Error::Status(status, _)) => {
            let passing = status >= 500 || status == 429;
            return Err(AttemptError { reason: format!("the scorer answered with status {status}"), passing });
        }
        Err(error) => return Err(AttemptError { reason: error.to_string(), passing: true }),
    };
    let invalid = |reason: String| AttemptError { reason, passing: false };
    if response.status() != 200 {
        return Err(invalid(format!("the scorer answered with status {}, expected 200", response.status())));
    }
    let mut text = Vec::new();
    let read = response.into_reader().take(MOST_BYTES + 1).read_to_end(&mut text);
    read.map_err(|error| AttemptError { reason: error.to_string(), passing: true })?;
    if text.len() as u64 > MOST_BYTES {
        return Err(invalid(format!("the answer is longer than {MOST_BYTES} bytes")));
    }
    let expected = "expected {\"reward\": r} with r from 0 to 1, or {\"reward\": null}";
    let answer: Value = serde_json::from_slice(&text).map_err(|error| invalid(format!("{expected}, found {error}")))?;
    match answer.get("reward") {
        Some(Value::Null) => Ok(None),
        Some(reward) => match reward.as_f64().filter(|reward| (0.0..=1.0).contains(reward)) {
            Some(reward) => Ok(Some(reward)),
            None => Err(invalid(format!("{expected}, found another value of `reward`"))),
        },
        None => Err(invalid(format!("{expected}, found no `reward`"))),
    }
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
            && self.health.claim_probe()
        {
            let (agent, scorer, health) = (self.agent.clone(), self.scorer.clone(), self.health.clone());
            runtime.spawn_blocking(move || health.learn(attempt_once(&agent, &scorer, &probe()).is_ok()));
        }
        self.health.current()
    }

    async fn check_health(&self) -> Result<(), RoleError> {
        self.ask(probe()).await.map(drop)
    }

    async fn score(&self, trajectory: Trajectory<'_>) -> Result<StepScore, RoleError> {
        let began = Instant::now();
        let question = trajectory.prompt.question();
        let body = json!({ "question": question, "steps": trajectory.steps, "step": trajectory.step });
        let reward = self.ask(body).await?.ok_or_else(|| RoleError::NoOpinion(self.name().to_owned()))?;
        Ok(StepScore { reward, seconds: began.elapsed().as_secs_f64(), ..StepScore::default() })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use axum::{
        Router,
        http::{HeaderMap, StatusCode},
        routing::post,
    };

    use super::*;
    use crate::testing::score;

    /// A real server that answers the n-th request as `answer` says, and the number of requests so far.
    async fn reward(
        token: Option<&str>,
        answer: impl Fn(usize, &HeaderMap, &str) -> (u16, String) + Clone + Send + Sync + 'static,
    ) -> (HttpReward, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let handler = move |headers: HeaderMap, body: String| {
            let (status, text) = answer(counted.fetch_add(1, SeqCst), &headers, &body);
            async move {
                // Status 0 stands for an answer that comes too late.
                if status == 0 {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
                (StatusCode::from_u16(status.max(200)).unwrap(), text)
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/score", listener.local_addr().unwrap());
        let app = Router::new().route("/score", post(handler));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let token = token.map(str::to_owned);
        (HttpReward::new(HttpScorer { url, token, timeout: Duration::from_millis(400), retries: 2 }), calls)
    }

    #[tokio::test]
    async fn the_scorer_gets_question_and_steps_and_its_reward_counts() {
        let (reward, _) = reward(Some("secret"), |_, headers, body| {
            assert_eq!(headers["authorization"], "Bearer secret");
            let body: Value = serde_json::from_str(body).unwrap();
            assert_eq!(body, json!({"question": "How many?", "steps": ["First.\n\n"], "step": "Second."}));
            (200, r#"{"reward": 0.25}"#.to_owned())
        })
        .await;
        assert_eq!(score(&reward, "Second.").await.unwrap().reward, 0.25);
    }

    #[tokio::test]
    async fn null_is_no_opinion() {
        let (reward, _) = reward(None, |_, _, _| (200, r#"{"reward": null}"#.to_owned())).await;
        assert!(matches!(score(&reward, "x").await, Err(RoleError::NoOpinion(_))));
        reward.check_health().await.unwrap();
    }

    #[tokio::test]
    async fn a_fault_that_passes_is_tried_again() {
        for first in [503, 429, 0] {
            let (reward, calls) =
                reward(None, move |call, _, _| (if call < 2 { first } else { 200 }, r#"{"reward": 1}"#.to_owned()))
                    .await;
            assert_eq!(score(&reward, "x").await.unwrap().reward, 1.0, "{first}");
            assert_eq!(calls.load(SeqCst), 3);
        }
        let (reward, calls) = reward(None, |_, _, _| (500, String::new())).await;
        let error = score(&reward, "x").await.unwrap_err().to_string();
        assert!(error.contains("status 500") && error.contains("/score"), "{error}");
        assert_eq!(calls.load(SeqCst), 3);
    }

    #[tokio::test]
    async fn an_answer_that_is_not_understood_is_an_error_at_once() {
        for (status, text) in [
            (200, "garbage".to_owned()),
            (200, "{}".to_owned()),
            (200, r#"{"reward": 1.5}"#.to_owned()),
            (200, r#"{"reward": "0.5"}"#.to_owned()),
            (200, format!(r#"{{"reward": 0.5, "note": "{}"}}"#, "x".repeat(1 << 20))),
            (204, String::new()),
            (302, String::new()),
            (401, String::new()),
        ] {
            let (reward, calls) = reward(None, move |_, _, _| (status, text.clone())).await;
            assert!(matches!(score(&reward, "x").await, Err(RoleError::Failed { .. })), "{status}");
            assert_eq!(calls.load(SeqCst), 1);
        }
    }

    /// Calls `health` until it says this, a few seconds at most.
    async fn becomes(reward: &HttpReward, expected: ModelHealth) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while reward.health() != expected {
            assert!(Instant::now() < deadline, "it stays {:?}", reward.health());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn a_scorer_that_goes_down_and_comes_back_is_seen_in_its_scores() {
        let (reward, calls) =
            reward(None, |call, _, _| (if call < 3 { 503 } else { 200 }, r#"{"reward": 1}"#.to_owned())).await;
        score(&reward, "x").await.unwrap_err();
        assert_eq!(reward.health(), ModelHealth { running: false, deaths: 1 });
        score(&reward, "x").await.unwrap();
        assert_eq!(reward.health(), ModelHealth { running: true, deaths: 1 });
        assert_eq!(calls.load(SeqCst), 4, "asked although the last answer is fresh");
    }

    #[tokio::test]
    async fn a_step_that_a_scorer_does_not_take_does_not_make_it_unhealthy() {
        let (reward, _) = reward(None, |_, _, _| (422, String::new())).await;
        score(&reward, "x").await.unwrap_err();
        assert!(reward.health().running);
    }

    #[tokio::test]
    async fn a_scorer_that_was_not_asked_lately_is_probed_once_and_not_waited_for() {
        let (reward, calls) = reward(None, |_, _, _| (0, String::new())).await;
        // The scorer takes longer than the time-out of 0.4 s.
        assert!(reward.health().running, "it was waited for");
        becomes(&reward, ModelHealth { running: false, deaths: 1 }).await;
        assert_eq!(calls.load(SeqCst), 1);
    }

    #[tokio::test]
    async fn a_scorer_that_is_not_there_is_unhealthy() {
        let scorer = HttpScorer {
            url: "http://127.0.0.1:1/score".to_owned(),
            token: None,
            timeout: Duration::from_millis(200),
            retries: 0,
        };
        assert!(HttpReward::new(scorer).check_health().await.unwrap_err().to_string().contains("127.0.0.1:1"));
    }
}
