use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    routing::post,
};

use parking_lot::Mutex;

use super::*;
use crate::testing::score;

/// A real server that answers the n-th request as `answer` says, and the number of requests so far.
async fn reward(
    token: Option<&str>,
    answer: impl Fn(usize, &HeaderMap, &str) -> (u16, String) + Clone + Send + Sync + 'static,
) -> (HttpReward, Arc<AtomicUsize>) {
    batch_reward(1, token, answer).await
}

/// The same with a limit on the steps of a request.
async fn batch_reward(
    max_batch: usize,
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
    (HttpReward::new(HttpScorer { url, token, timeout: Duration::from_millis(400), retries: 2, max_batch }), calls)
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
            reward(None, move |call, _, _| (if call < 2 { first } else { 200 }, r#"{"reward": 1}"#.to_owned())).await;
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
        max_batch: 1,
    };
    assert!(HttpReward::new(scorer).check_health().await.unwrap_err().to_string().contains("127.0.0.1:1"));
}

/// Answers a batch with the numbers that its steps are, or rejects it if one is no number. Notes how many steps it had.
fn numbers(sizes: &Mutex<Vec<usize>>, body: &str) -> (u16, String) {
    let body: Value = serde_json::from_str(body).unwrap();
    let items = body["items"].as_array().unwrap();
    sizes.lock().push(items.len());
    let rewards: Option<Vec<f64>> = items.iter().map(|item| item["step"].as_str()?.parse().ok()).collect();
    match rewards {
        Some(rewards) => (200, json!({ "rewards": rewards }).to_string()),
        None => (422, String::new()),
    }
}

/// A scorer of numbers that takes at most four steps in a request, and how many each request had.
async fn number_scorer() -> (HttpReward, Arc<Mutex<Vec<usize>>>) {
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let noted = sizes.clone();
    let (reward, _) = batch_reward(4, None, move |_, _, body| numbers(&noted, body)).await;
    (reward, sizes)
}

#[tokio::test]
async fn steps_that_wait_share_a_request_and_each_gets_its_own_reward() {
    let (reward, sizes) = number_scorer().await;
    let steps: Vec<String> = (0..10).map(|step| format!("0.{step}")).collect();
    let scores = futures::future::join_all(steps.iter().map(|step| score(&reward, step))).await;
    let rewards: Vec<f64> = scores.into_iter().map(|score| score.unwrap().reward).collect();
    assert_eq!(rewards, steps.iter().map(|step| step.parse().unwrap()).collect::<Vec<f64>>());
    // All ten wait before the first request is made, because the test has one thread.
    assert_eq!(*sizes.lock(), [4, 4, 2]);
    assert_eq!(score(&reward, "0.5").await.unwrap().reward, 0.5, "nothing is sent after a pause");
}

#[tokio::test]
async fn a_step_that_the_scorer_rejects_costs_no_other_step_its_score() {
    let (reward, _) = number_scorer().await;
    let steps = ["0.1", "0.2", "seven", "0.3"];
    let scores = futures::future::join_all(steps.map(|step| score(&reward, step))).await;
    let rewards: Vec<Option<f64>> = scores.into_iter().map(|score| score.ok().map(|score| score.reward)).collect();
    assert_eq!(rewards, [Some(0.1), Some(0.2), None, Some(0.3)]);
}

#[tokio::test]
async fn a_step_whose_caller_left_is_not_sent_and_the_others_are() {
    let (reward, sizes) = number_scorer().await;
    let mut first = Box::pin(score(&reward, "0.1"));
    let mut left = Box::pin(score(&reward, "0.2"));
    let mut stays = Box::pin(score(&reward, "0.3"));
    for waiting in [&mut first, &mut left, &mut stays] {
        assert!(futures::poll!(waiting).is_pending());
    }
    drop((first, left));
    assert_eq!(stays.await.unwrap().reward, 0.3);
    assert_eq!(*sizes.lock(), [1]);
}

#[tokio::test]
async fn an_answer_to_a_batch_must_have_one_reward_for_each_step() {
    for text in [r#"{"reward": 1}"#, r#"{"rewards": []}"#, r#"{"rewards": [1, 1]}"#, r#"{"rewards": [2]}"#, "[1]"] {
        let (reward, calls) = batch_reward(8, None, |_, _, _| (200, text.to_owned())).await;
        let error = score(&reward, "x").await.unwrap_err().to_string();
        assert!(error.contains("expected {\"rewards\": [...]} with 1 items"), "{error}");
        assert_eq!(calls.load(SeqCst), 1);
    }
    let (reward, _) = batch_reward(8, None, |_, _, _| (200, r#"{"rewards": [null]}"#.to_owned())).await;
    assert!(matches!(score(&reward, "x").await, Err(RoleError::NoOpinion(_))));
}
