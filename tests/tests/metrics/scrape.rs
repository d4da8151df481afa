//! A scrape agrees with the traces of the answers, and scraping changes no answer.

use std::time::{Duration, Instant};

use futures::StreamExt;
use rsd_config::LimitsConfig;
use rsd_server::ApiKey;
use rsd_tests::{test_server::TestServer, tiny_pipeline};
use serde_json::{Value, json};

use crate::support::{DECODE_SECONDS, PREFILL_SECONDS, ScrapedSamples, app, body, serve, text, until, with_metrics};

fn number(totals: &Value, path: &str) -> f64 {
    totals.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path} in {totals}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_counters_are_the_sums_of_the_traces() {
    let server = serve().await;
    let mut totals = Vec::new();
    let (mut decoded, mut answers) = (0.0, 0.0);
    for prompt in ["one", "two of them", "and a third"] {
        let answer = server.ask("/v1/completions", &body(prompt, &json!({"n": 2}))).await.unwrap();
        decoded += answer["usage"]["completion_tokens"].as_f64().unwrap();
        for choice in answer["rsd"]["choices"].as_array().unwrap() {
            totals.push(choice["totals"].clone());
            answers += 1.0;
        }
    }
    let samples = until(&server, |samples| samples.requests("completed") == 3.0).await;
    let sum = |path: &str| totals.iter().map(|totals| number(totals, path)).sum::<f64>();
    for (outcome, steps, tokens) in
        [("accepted", "/accepted_steps", "/accepted_tokens"), ("rejected", "/rejected_steps", "/rejected_tokens")]
    {
        assert!(sum(steps) > 0.0);
        assert_eq!(samples.steps(outcome), sum(steps));
        assert_eq!(samples.sum("rsd_draft_tokens_total", &[("outcome", outcome)]), sum(tokens));
    }
    assert_eq!(samples.decisions(), sum("/accepted_steps") + sum("/rejected_steps"));
    assert_eq!(samples.sum("rsd_reward_count", &[]), samples.decisions());
    assert_eq!(samples.sum("rsd_emitted_tokens_total", &[]), decoded);
    for role in ["draft", "target"] {
        let of = |field: &str| sum(&format!("/{role}/{field}"));
        assert_eq!(samples.sum("rsd_generated_tokens_total", &[("role", role)]), of("generated"));
        assert_eq!(samples.sum("rsd_prefilled_tokens_total", &[("role", role)]), of("prefilled"));
        assert_eq!(samples.sum("rsd_cached_tokens_total", &[("role", role)]), of("cached"));
        assert_close(samples.sum("rsd_model_seconds_total", &[("role", role)]), of("seconds"));
    }
    for accounting in ["generated", "with_prm", "total"] {
        let labels = [("accounting", accounting)];
        assert_close(samples.sum("rsd_estimated_flops_total", &labels), sum(&format!("/flops/{accounting}")));
    }
    assert_close(samples.sum("rsd_answer_model_seconds_total", &[]), sum("/draft/seconds") + sum("/target/seconds"));
    // Each answer prefills at least one token of its prompt.
    let alone = samples.sum("rsd_target_only_estimated_seconds_total", &[]);
    assert!(
        alone >= decoded * DECODE_SECONDS + answers * PREFILL_SECONDS
            && alone < decoded * DECODE_SECONDS + answers * 30.0 * PREFILL_SECONDS,
        "{alone}"
    );
    assert_eq!(samples.sum("rsd_time_to_first_token_seconds_count", &[]), 3.0);
    assert_eq!(samples.sum("rsd_request_seconds_count", &[]), 3.0);
    let between = samples.sum("rsd_inter_token_seconds_count", &[]);
    assert!(between > 0.5 * decoded && between < decoded, "{between} of {decoded}");
    assert_eq!(samples.sum("rsd_requests_running", &[]) + samples.sum("rsd_requests_waiting", &[]), 0.0);
    assert_eq!(samples.sum("rsd_policy_delta", &[]), 0.5);
    assert!(samples.sum("rsd_cache_bytes", &[("role", "target")]) > 0.0);
    server.drain().await.unwrap();
}

fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{found} is not {expected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_one_outcome() {
    let limits = LimitsConfig { running: 1, waiting: 0, ..tiny_pipeline::limits() };
    let app = app(limits).await.with_api_key(Some(ApiKey::new("k")));
    let mut server = TestServer::run(app).await.unwrap();
    let route = format!("{}/v1/completions", server.url);
    let without_key = server.post("/v1/completions", "{}").await.unwrap();
    assert_eq!(without_key.status(), 401);
    let mut headers = reqwest::header::HeaderMap::new();
    headers.insert("authorization", "Bearer k".parse().unwrap());
    server.client = reqwest::Client::builder().default_headers(headers).build().unwrap();

    assert_eq!(server.post("/v1/completions", "{").await.unwrap().status(), 400);
    assert_eq!(server.post("/v1/completions", "x".repeat(100_000)).await.unwrap().status(), 413);
    let long = "word ".repeat(4000);
    let too_long = server.post("/v1/completions", json!({"prompt": long}).to_string()).await.unwrap();
    assert_eq!(too_long.status(), 400);

    let stream = body("a long one", &json!({"max_tokens": 400, "n": 8, "stream": true}));
    let response = server.client.post(&route).json(&stream).send().await.unwrap();
    let mut bytes = response.bytes_stream();
    bytes.next().await.unwrap().unwrap();
    let samples = ScrapedSamples::scrape(&server).await;
    assert_eq!(samples.sum("rsd_requests_running", &[]), 1.0);
    assert_eq!(server.client.post(&route).json(&stream).send().await.unwrap().status(), 429);
    drop(bytes);
    until(&server, |samples| samples.requests("cancelled") == 1.0).await;

    server.ask("/v1/completions", &body("a short one", &json!({}))).await.unwrap();
    let samples = until(&server, |samples| samples.requests("completed") == 1.0).await;
    assert_eq!(samples.requests("refused"), 5.0);
    assert_eq!(samples.requests("failed"), 0.0);
    assert_eq!(samples.sum("rsd_requests_total", &[]), 7.0);
    assert_eq!(samples.decisions(), samples.steps("accepted") + samples.steps("rejected"));
    server.drain().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scrape_during_eight_streams_adds_up_and_changes_no_answer() {
    let limits = LimitsConfig { running: 8, ..tiny_pipeline::limits() };
    // The prompts begin alike, and the order of the requests varies: with a prefix that another request left in the
    // cache, an answer can differ (tests/http/requests.rs explains when).
    let rsd = tiny_pipeline::rsd_with_cache(&limits, Some(0)).await.unwrap();
    let server = TestServer::run(with_metrics(rsd, limits)).await.unwrap();
    let request = |n: usize| body(&format!("prompt number {n}"), &json!({"temperature": 0.8, "seed": n}));
    let mut undisturbed = Vec::new();
    for n in 0..8 {
        undisturbed.push(server.complete(&request(n)).await.unwrap());
    }
    let before = until(&server, |samples| samples.requests("completed") == 8.0).await.decisions();
    let server = &server;
    let asked = async {
        let leaving = async {
            let streamed = body("leaves", &json!({"max_tokens": 400, "n": 8, "stream": true}));
            let response = server.post("/v1/completions", streamed.to_string()).await.unwrap();
            drop(response);
        };
        let requests: Vec<Value> = (0..8).map(request).collect();
        let answers = futures::future::join_all(requests.iter().map(|request| server.complete(request)));
        futures::join!(answers, leaving).0
    };
    let scraped = async {
        let mut took = Vec::new();
        loop {
            let began = Instant::now();
            let samples = ScrapedSamples::scrape(server).await;
            took.push(began.elapsed());
            assert_eq!(samples.decisions(), samples.steps("accepted") + samples.steps("rejected"));
            assert_eq!(samples.decisions(), samples.sum("rsd_spec_decode_num_drafts_total", &[]));
            if samples.requests("completed") == 16.0 && samples.requests("cancelled") == 1.0 {
                return (samples, took);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let both = async { futures::join!(asked, scraped) };
    let both = tokio::time::timeout(Duration::from_secs(300), both).await;
    let (answers, (samples, mut took)) = both.expect("the abandoned stream is not counted as cancelled");
    let answers: Vec<String> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers, undisturbed);
    assert!(samples.decisions() >= 2.0 * before, "{} after {before}", samples.decisions());
    took.sort_unstable();
    eprintln!("{} scrapes, median {:?}, longest {:?}", took.len(), took[took.len() / 2], took[took.len() - 1]);
    let size = text(server).await.len();
    assert!(size < 40_000, "{size} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_open_like_the_health_check_and_can_be_switched_off() {
    let server =
        TestServer::run(app(tiny_pipeline::limits()).await.with_api_key(Some(ApiKey::new("k")))).await.unwrap();
    let response = server.client.get(format!("{}/metrics", server.url)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4");
    server.drain().await.unwrap();

    let server = TestServer::run(app(tiny_pipeline::limits()).await.with_metrics(None)).await.unwrap();
    let response = server.client.get(format!("{}/metrics", server.url)).send().await.unwrap();
    assert_eq!(response.status(), 404);
    server.complete(&body("still answers", &json!({}))).await.unwrap();
    server.drain().await.unwrap();
}
