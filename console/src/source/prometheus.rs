//! Queries a Prometheus server for the current state of the fleet and for acceptance rates from before the console was
//! started.

use std::collections::BTreeMap;

use reqwest::Method;
use rsd_protocol::metrics;
use serde::Deserialize;
use thiserror::Error;

use super::{
    FleetRow,
    http::{HttpClient, HttpError, RequestLimits},
};

/// Why a query failed.
#[derive(Debug, Error)]
pub enum QueryError {
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The answer is an error or not one of Prometheus.
    #[error("{url} answers {status}: {cause}")]
    Answer { url: String, status: u16, cause: String },
}

#[derive(Debug, Deserialize)]
struct QueryReply {
    data: Option<QueryData>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct QueryData {
    result: Vec<QuerySeries>,
}

#[derive(Debug, Deserialize)]
struct QuerySeries {
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// A client of a Prometheus server.
#[derive(Debug, Clone)]
pub struct PrometheusClient {
    http: HttpClient,
    base: String,
}

impl PrometheusClient {
    /// A client of the server at `base`, such as `http://127.0.0.1:9090`.
    pub fn new(base: &str) -> Result<Self, HttpError> {
        Ok(Self { http: HttpClient::new(RequestLimits::default(), 3)?, base: base.trim_end_matches('/').to_owned() })
    }

    /// Every rsd server that it scrapes.
    pub async fn fleet(&self) -> Result<Vec<FleetRow>, QueryError> {
        let mut rows: BTreeMap<String, FleetRow> = BTreeMap::new();
        for (expression, put) in fleet_queries() {
            for (instance, value) in self.now(&expression).await? {
                let row = rows.entry(instance.clone()).or_default();
                row.instance = instance;
                put(row, value);
            }
        }
        Ok(rows.into_values().collect())
    }

    /// Acceptance rates (steps) of an instance over the last hour, one per minute, oldest first.
    pub async fn past_acceptance(&self, instance: &str, now_ms: u64) -> Result<Vec<(u64, f64)>, QueryError> {
        let end = now_ms / 1000;
        let instance = instance.replace(['"', '\\'], "");
        let expression = acceptance_query(&format!("instance=\"{instance}\""));
        let range =
            [("start", (end.saturating_sub(3600)).to_string()), ("end", end.to_string()), ("step", "60".into())];
        let series = self.ask("query_range", &expression, &range).await?;
        let values = series.into_iter().flat_map(|series| series.values);
        Ok(values.filter_map(|(at, value)| Some((seconds_to_ms(at), value.parse().ok()?))).collect())
    }

    async fn now(&self, expression: &str) -> Result<Vec<(String, f64)>, QueryError> {
        let series = self.ask("query", expression, &[]).await?;
        let read = |series: QuerySeries| Some((series.metric.get("instance")?.clone(), series.value?.1.parse().ok()?));
        Ok(series.into_iter().filter_map(read).collect())
    }

    async fn ask(&self, kind: &str, expression: &str, more: &[(&str, String)]) -> Result<Vec<QuerySeries>, QueryError> {
        let mut url = format!("{}/api/v1/{kind}?query={}", self.base, percent_encoded(expression));
        for (name, value) in more {
            url.extend(["&", name, "=", value.as_str()]);
        }
        let reply = self.http.send(self.http.request(Method::GET, &url, None)).await?;
        let url = format!("{}/api/v1/{kind}", self.base);
        let parsed: QueryReply = serde_json::from_slice(&reply.body).map_err(|error| QueryError::Answer {
            url: url.clone(),
            status: reply.status,
            cause: format!("not an answer of Prometheus ({error})"),
        })?;
        match parsed.data {
            Some(data) => Ok(data.result),
            None => Err(QueryError::Answer { url, status: reply.status, cause: parsed.error.unwrap_or_default() }),
        }
    }
}

type RowSetter = fn(&mut FleetRow, f64);

fn fleet_queries() -> Vec<(String, RowSetter)> {
    let revision = metrics::REVISION.name;
    let rate = |name: &str| format!("sum by (instance) (rate({name}[5m]))");
    vec![
        (
            format!("max by (instance) (up) and on (instance) max by (instance) (last_over_time({revision}[1h]))"),
            |row, up| {
                row.up = up > 0.0;
            },
        ),
        (acceptance_query(""), |row, value| row.acceptance = Some(value)),
        (format!("{} / {}", rate(metrics::TARGET_ONLY_SECONDS.name), rate(metrics::RSD_SECONDS.name)), |row, value| {
            row.speedup = Some(value);
        }),
        (rate(metrics::EMITTED_TOKENS.name), |row, value| row.throughput = Some(value)),
        (metrics::WAITING.name.to_owned(), |row, value| row.waiting = Some(value)),
        (metrics::DELTA.name.to_owned(), |row, value| row.delta = Some(value)),
    ]
}

fn acceptance_query(matcher: &str) -> String {
    let name = metrics::STEPS.name;
    let comma = if matcher.is_empty() { "" } else { "," };
    format!(
        "sum by (instance) (rate({name}{{outcome=\"accepted\"{comma}{matcher}}}[5m])) / \
         sum by (instance) (rate({name}{{{matcher}}}[5m]))"
    )
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => encoded.push(char::from(byte)),
            other => encoded.extend(["%".to_owned(), format!("{other:02X}")]),
        }
    }
    encoded
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds since 1970, not before it")]
fn seconds_to_ms(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1000.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acceptance_is_asked_for_by_the_names_of_the_protocol() {
        insta::assert_snapshot!(acceptance_query("instance=\"a:1\""), @r#"sum by (instance) (rate(rsd_steps_total{outcome="accepted",instance="a:1"}[5m])) / sum by (instance) (rate(rsd_steps_total{instance="a:1"}[5m]))"#);
        assert_eq!(percent_encoded("a b{\"c\"}"), "a%20b%7B%22c%22%7D");
    }
}
