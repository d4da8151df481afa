//! A server with metrics on two tiny models, and its metrics parsed into numbers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rsd_config::LimitsConfig;

use rsd_server::{AppState, metrics::Metrics};

use rsd_core::pipeline::Rsd;
use rsd_protocol::preview::UnitCosts;
use rsd_tests::{test_server::TestServer, tiny_pipeline};
use serde_json::{Value, json};

/// The assumed speed of the target, in seconds per prefilled and per decoded token. Its real speed does not matter
/// here.
pub(crate) const PREFILL_SECONDS: f64 = 0.001;
pub(crate) const DECODE_SECONDS: f64 = 0.004;

pub(crate) fn costs() -> UnitCosts {
    UnitCosts { target_prefill: Some(PREFILL_SECONDS), target_decode: Some(DECODE_SECONDS), ..UnitCosts::default() }
}

pub(crate) async fn app(limits: LimitsConfig) -> AppState {
    with_metrics(tiny_pipeline::rsd(&limits).await.unwrap(), limits)
}

/// The state of a server that observes `rsd` for its metrics.
pub(crate) fn with_metrics(mut rsd: Rsd, limits: LimitsConfig) -> AppState {
    let metrics = Arc::new(Metrics::new(&rsd, costs).unwrap());
    rsd.observer = metrics.clone();
    AppState::new(rsd, "rsd".to_owned(), "tiny".to_owned(), limits).with_metrics(Some(metrics))
}

pub(crate) async fn serve() -> TestServer {
    TestServer::run(app(tiny_pipeline::limits()).await).await.unwrap()
}

/// A request for a long answer to which both models contribute.
pub(crate) fn body(prompt: &str, extra: &Value) -> Value {
    let mut body = json!({"prompt": prompt, "max_tokens": 60, "temperature": 0, "rsd": {"trace": true}});
    for (key, value) in extra.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    body
}

pub(crate) async fn text(server: &TestServer) -> String {
    let response = server.client.get(format!("{}/metrics", server.url)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.text().await.unwrap()
}

/// The value of each sample, by its name with labels.
pub(crate) struct ScrapedSamples(BTreeMap<String, f64>);

impl ScrapedSamples {
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().unwrap()));
        Self(lines.map(|line| sample(line).unwrap()).collect())
    }

    pub(crate) async fn scrape(server: &TestServer) -> Self {
        Self::parse(&text(server).await)
    }

    /// The sum over all series with this name and these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let series = self.0.iter().filter(|(series, _)| {
            let (found, rest) = series.split_once('{').unwrap_or((series, ""));
            found == name && wanted.iter().all(|pair| rest.contains(pair.as_str()))
        });
        let values: Vec<f64> = series.map(|(_, value)| *value).collect();
        assert!(!values.is_empty(), "there is no {name} {labels:?}");
        values.iter().sum()
    }

    pub(crate) fn decisions(&self) -> f64 {
        self.sum("rsd_step_decisions_total", &[])
    }

    pub(crate) fn steps(&self, outcome: &str) -> f64 {
        self.sum("rsd_steps_total", &[("outcome", outcome)])
    }

    pub(crate) fn requests(&self, outcome: &str) -> f64 {
        self.sum("rsd_requests_total", &[("outcome", outcome)])
    }
}

/// Scrapes until the condition holds: a request is counted a moment after its last byte was sent.
pub(crate) async fn until(server: &TestServer, holds: impl Fn(&ScrapedSamples) -> bool) -> ScrapedSamples {
    for _ in 0..500 {
        let samples = ScrapedSamples::scrape(server).await;
        if holds(&samples) {
            return samples;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the condition never held:\n{}", text(server).await);
}
