//! The warm-up before the first answer measures the models' speeds and changes no later answer.

use std::sync::Arc;

use rsd_server::{AppState, metrics::Metrics};

use rsd_core::warmup::warm_up;
use rsd_tests::{test_server::TestServer, tiny_pipeline};
use serde_json::json;

use crate::support::{ScrapedSamples, body, costs};

async fn served(warm: bool) -> TestServer {
    let mut rsd = tiny_pipeline::rsd(&tiny_pipeline::limits()).await.unwrap();
    let metrics = Arc::new(Metrics::new(&rsd, costs).unwrap());
    rsd.observer = metrics.clone();
    if warm {
        warm_up(&rsd).await;
    }
    let app = AppState::new(rsd, "rsd".to_owned(), "tiny".to_owned(), tiny_pipeline::limits());
    TestServer::run(app.with_metrics(Some(metrics))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_warm_up_is_counted_as_work_and_as_nothing_else() {
    let server = served(true).await;
    let samples = ScrapedSamples::scrape(&server).await;
    for role in ["draft", "target"] {
        let of = |name: &str| samples.sum(name, &[("role", role)]);
        let (prefilled, decoded) = (of("rsd_prefilled_tokens_total"), of("rsd_generated_tokens_total"));
        assert!(prefilled > 40.0 && prefilled <= 64.0, "{role} prefilled {prefilled}");
        assert!(decoded > 0.0 && decoded <= 16.0, "{role} decoded {decoded}");
        assert!(samples.sum("rsd_model_seconds_total", &[("role", role), ("phase", "prefill")]) > 0.0);
        assert_eq!(of("rsd_cache_bytes"), 0.0, "{role}");
    }
    assert_eq!(samples.sum("rsd_requests_total", &[]) + samples.decisions(), 0.0);
    assert_eq!(samples.sum("rsd_answer_model_seconds_total", &[]), 0.0);
    server.drain().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_after_the_warm_up_are_what_they_are_without_it() {
    let (with, without) = (served(true).await, served(false).await);
    // The first prompt begins like the text of the warm-up.
    for prompt in ["A train leaves the station at nine in the morning and travels south", "one two three"] {
        for extra in [json!({}), json!({"temperature": 0.9, "seed": 5}), json!({"model": "target"})] {
            let request = body(prompt, &extra);
            assert_eq!(with.complete(&request).await.unwrap(), without.complete(&request).await.unwrap(), "{request}");
        }
    }
    with.drain().await.unwrap();
    without.drain().await.unwrap();
}
