//! What a Prometheus server knows: the fleet as it is, and how acceptance went before the console was started.

use std::collections::BTreeMap;

use reqwest::Method;
use rsd_protocol::metrics;
use serde::Deserialize;
use thiserror::Error;

use super::{
    FleetRow,
    http::{Bounds, Http, HttpError},
};

/// Why Prometheus brought nothing.
#[derive(Debug, Error)]
pub enum QueryError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Another answer.
    #[error("{url} answers {status}: {cause}")]
    Answer {
        /// What was asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// What it says.
        cause: String,
    },
}

#[derive(Debug, Deserialize)]
struct Reply {
    data: Option<ReplyData>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ReplyData {
    result: Vec<Series>,
}

#[derive(Debug, Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// A Prometheus server.
#[derive(Debug, Clone)]
pub struct Prometheus {
    http: Http,
    base: String,
}

impl Prometheus {
    /// The server at `base`.
    pub fn new(base: &str) -> Result<Self, HttpError> {
        Ok(Self { http: Http::new(Bounds::default(), 3)?, base: base.trim_end_matches('/').to_owned() })
    }

    /// Every server it scrapes.
    pub async fn fleet(&self) -> Result<Vec<FleetRow>, QueryError> {
        let mut rows: BTreeMap<String, FleetRow> = BTreeMap::new();
        for (expression, put) in questions() {
            for (instance, value) in self.now(&expression).await? {
                let row = rows.entry(instance.clone()).or_default();
                row.instance = instance;
                put(row, value);
            }
        }
        Ok(rows.into_values().collect())
    }

    /// Acceptance of an instance over the last minutes, oldest first.
    pub async fn past(&self, instance: &str, now_ms: u64) -> Result<Vec<(u64, f64)>, QueryError> {
        let end = now_ms / 1000;
        let instance = instance.replace(['"', '\\'], "");
        let expression = acceptance(&format!("instance=\"{instance}\""));
        let range =
            [("start", (end.saturating_sub(3600)).to_string()), ("end", end.to_string()), ("step", "60".into())];
        let series = self.ask("query_range", &expression, &range).await?;
        let values = series.into_iter().flat_map(|series| series.values);
        Ok(values.filter_map(|(at, value)| Some((seconds_to_ms(at), value.parse().ok()?))).collect())
    }

    async fn now(&self, expression: &str) -> Result<Vec<(String, f64)>, QueryError> {
        let series = self.ask("query", expression, &[]).await?;
        let read = |series: Series| Some((series.metric.get("instance")?.clone(), series.value?.1.parse().ok()?));
        Ok(series.into_iter().filter_map(read).collect())
    }

    async fn ask(&self, kind: &str, expression: &str, more: &[(&str, String)]) -> Result<Vec<Series>, QueryError> {
        let mut url = format!("{}/api/v1/{kind}?query={}", self.base, escaped(expression));
        for (name, value) in more {
            url.extend(["&", name, "=", value.as_str()]);
        }
        let reply = self.http.send(self.http.request(Method::GET, &url, None)).await?;
        let url = format!("{}/api/v1/{kind}", self.base);
        let parsed: Reply = serde_json::from_slice(&reply.body).map_err(|error| QueryError::Answer {
            url: url.clone(),
            status: reply.status,
            cause: format!("no Prometheus answer ({error})"),
        })?;
        match parsed.data {
            Some(data) => Ok(data.result),
            None => Err(QueryError::Answer { url, status: reply.status, cause: parsed.error.unwrap_or_default() }),
        }
    }
}

type Put = fn(&mut FleetRow, f64);

fn questions() -> Vec<(String, Put)> {
    let revision = metrics::REVISION.name;
    let rate = |name: &str| format!("sum by (instance) (rate({name}[5m]))");
    vec![
        (
            format!("max by (instance) (up) and on (instance) max by (instance) (last_over_time({revision}[1h]))"),
            |row, up| {
                row.up = up > 0.0;
            },
        ),
        (acceptance(""), |row, value| row.acceptance = Some(value)),
        (format!("{} / {}", rate(metrics::TARGET_ONLY_SECONDS.name), rate(metrics::RSD_SECONDS.name)), |row, value| {
            row.speed_up = Some(value);
        }),
        (rate(metrics::EMITTED_TOKENS.name), |row, value| row.throughput = Some(value)),
        (metrics::WAITING.name.to_owned(), |row, value| row.waiting = Some(value)),
        (metrics::DELTA.name.to_owned(), |row, value| row.delta = Some(value)),
    ]
}

fn acceptance(matcher: &str) -> String {
    let name = metrics::STEPS.name;
    let comma = if matcher.is_empty() { "" } else { "," };
    format!(
        "sum by (instance) (rate({name}{{outcome=\"accepted\"{comma}{matcher}}}[5m])) / \
         sum by (instance) (rate({name}{{{matcher}}}[5m]))"
    )
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => escaped.push(char::from(byte)),
            other => escaped.extend(["%".to_owned(), format!("{other:02X}")]),
        }
    }
    escaped
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
        insta::assert_snapshot!(acceptance("instance=\"a:1\""), @r#"sum by (instance) (rate(rsd_steps_total{outcome="accepted",instance="a:1"}[5m])) / sum by (instance) (rate(rsd_steps_total{instance="a:1"}[5m]))"#);
        assert_eq!(escaped("a b{\"c\"}"), "a%20b%7B%22c%22%7D");
    }
}
