//! A server on two tiny models that counts, and its metrics as numbers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mistralrs_rsd::{config::LimitsConfig, metrics::Metrics, pipeline::Rsd, server::App};
use rsd_protocol::preview::UnitCosts;
use rsd_tests::{pair, served::Served};
use serde_json::{Value, json};

/// What the target's speed is said to be: its truth is no matter here.
pub(crate) const READ: f64 = 0.001;
pub(crate) const WRITTEN: f64 = 0.004;

pub(crate) fn costs() -> UnitCosts {
    UnitCosts { target_prefill: Some(READ), target_decode: Some(WRITTEN), ..UnitCosts::default() }
}

pub(crate) async fn app(limits: LimitsConfig) -> App {
    counting(pair::rsd(&limits).await.unwrap(), limits)
}

/// A server of a pipeline that counts.
pub(crate) fn counting(mut rsd: Rsd, limits: LimitsConfig) -> App {
    let metrics = Arc::new(Metrics::new(&rsd, costs).unwrap());
    rsd.observer = metrics.clone();
    App::new(rsd, "rsd".to_owned(), "tiny".to_owned(), limits).with_metrics(Some(metrics))
}

pub(crate) async fn serve() -> Served {
    Served::run(app(pair::limits()).await).await.unwrap()
}

/// A request for a long answer of both models.
pub(crate) fn body(prompt: &str, extra: &Value) -> Value {
    let mut body = json!({"prompt": prompt, "max_tokens": 60, "temperature": 0, "rsd": {"trace": true}});
    for (key, value) in extra.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    body
}

pub(crate) async fn text(server: &Served) -> String {
    let response = server.client.get(format!("{}/metrics", server.url)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.text().await.unwrap()
}

/// Every sample by its name with labels.
pub(crate) struct Samples(BTreeMap<String, f64>);

impl Samples {
    pub(crate) fn of(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().unwrap()));
        Self(lines.map(|line| sample(line).unwrap()).collect())
    }

    pub(crate) async fn scrape(server: &Served) -> Self {
        Self::of(&text(server).await)
    }

    /// The sum over all series of a name whose labels hold these pairs.
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

    pub(crate) fn judged(&self) -> f64 {
        self.sum("rsd_judged_steps_total", &[])
    }

    pub(crate) fn steps(&self, outcome: &str) -> f64 {
        self.sum("rsd_steps_total", &[("outcome", outcome)])
    }

    pub(crate) fn requests(&self, outcome: &str) -> f64 {
        self.sum("rsd_requests_total", &[("outcome", outcome)])
    }
}

/// Scrapes until it holds: a request's account is closed a moment after its last byte.
pub(crate) async fn until(server: &Served, holds: impl Fn(&Samples) -> bool) -> Samples {
    for _ in 0..500 {
        let samples = Samples::scrape(server).await;
        if holds(&samples) {
            return samples;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never held:\n{}", text(server).await);
}
