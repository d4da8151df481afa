//! The probe before the first answer measures, and leaves nothing behind.

use std::sync::Arc;

use mistralrs_rsd::{metrics::Metrics, probe::probe, server::App};
use rsd_tests::{pair, served::Served};
use serde_json::json;

use crate::support::{Samples, body, costs};

async fn served(probed: bool) -> Served {
    let mut rsd = pair::rsd(&pair::limits()).await.unwrap();
    let metrics = Arc::new(Metrics::new(&rsd, costs).unwrap());
    rsd.observer = metrics.clone();
    if probed {
        probe(&rsd).await;
    }
    let app = App::new(rsd, "rsd".to_owned(), "tiny".to_owned(), pair::limits());
    Served::run(app.with_metrics(Some(metrics))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_counted_as_work_and_as_nothing_else() {
    let server = served(true).await;
    let samples = Samples::scrape(&server).await;
    for role in ["draft", "target"] {
        let of = |name: &str| samples.sum(name, &[("role", role)]);
        let (read, written) = (of("rsd_prefilled_tokens_total"), of("rsd_generated_tokens_total"));
        assert!(read > 40.0 && read <= 64.0, "{role} read {read}");
        assert!(written > 0.0 && written <= 16.0, "{role} wrote {written}");
        assert!(samples.sum("rsd_model_seconds_total", &[("role", role), ("phase", "prefill")]) > 0.0);
        assert_eq!(of("rsd_cache_bytes"), 0.0, "{role}");
    }
    assert_eq!(samples.sum("rsd_requests_total", &[]) + samples.judged(), 0.0);
    assert_eq!(samples.sum("rsd_answer_model_seconds_total", &[]), 0.0);
    server.drain().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_after_it_are_what_they_are_without() {
    let (with, without) = (served(true).await, served(false).await);
    // The first begins as the probe's own text does.
    for prompt in ["A train leaves the station at nine in the morning and travels south", "one two three"] {
        for extra in [json!({}), json!({"temperature": 0.9, "seed": 5}), json!({"model": "target"})] {
            let request = body(prompt, &extra);
            assert_eq!(with.complete(&request).await.unwrap(), without.complete(&request).await.unwrap(), "{request}");
        }
    }
    with.drain().await.unwrap();
    without.drain().await.unwrap();
}
