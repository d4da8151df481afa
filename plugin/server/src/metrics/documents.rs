//! Generates `docs/metrics.md` and the recording rules, and checks the other files of `examples/monitoring` against the
//! list of metrics.

use std::{collections::BTreeSet, fmt::Write as _};

use rsd_protocol::{
    metrics::{ALL, MetricKind, markdown},
    queries,
};
use serde_json::Value;

use crate::generated::{must_be_current, text};

const MONITORING: &str = "examples/monitoring";

fn document() -> String {
    let mut text = "\
# Metrics

`GET /metrics` on the OpenAI port serves the metrics in the text format of Prometheus, without a key. The setting
`server.metrics: false` disables the route. No metric names a user or contains a prompt. `examples/monitoring` has a
scrape configuration, recording rules, alerts and a Grafana dashboard; [monitoring](monitoring.md) says what to look at
first.

This page is generated from the code. `RSD_BLESS=1 cargo test -p rsd-server metrics` writes it.

## All metrics

"
    .to_owned();
    text += &markdown();
    text += "
Every label value in this table exists from the start, at 0, so that `rate` and `increase` see the first event. If the
server does not know a value, the sample is absent, not 0. In every scrape the accepted and the rejected steps add up to
the decided ones, whatever happened to the requests.

## What to compute from them

`examples/monitoring/recording.yml` records each of these queries over 5 minutes, 1 hour and 6 hours. Their names end in
`_rate5m`, `_rate1h` and `_rate6h`. In the expressions below, replace `$window` by any window.

";
    for query in queries::ALL {
        write!(text, "**{}** (`{}`)\n\n```promql\n{}\n```\n\n", query.help, query.record, query.expr).unwrap();
    }
    text += "\
## How the speedup is measured

The speedup is the quotient of two sums over the same answers:

- **Seconds of the target alone**, estimated (`rsd_target_only_estimated_seconds_total`). The prompt tokens that were in
  no cache, times the target's observed prefill time per token, plus the tokens of the answer, times its observed decode
  time per token. Both times are in `rsd_observed_seconds_per_token`.
- **Seconds of RSD**, measured (`rsd_answer_model_seconds_total`). The time that the draft, the reward model and the
  target worked on the answer.

Neither sum contains time that a request waited for the models. Neither contains an answer that was cancelled or failed,
because the cost of such an answer is not completely known, an answer that the draft finished because the target
failed, or an answer from before the target's speed was known. The
warm-up at the start (`server.warmup`) measures the target's speed before the first answer.

The speedup therefore compares work, not waiting: it says how much longer the same machine would have been busy.
`rsd_time_to_first_token_seconds`, `rsd_inter_token_seconds` and `rsd_request_seconds` measure how long clients wait.
";
    text
}

fn recording() -> String {
    let mut text = "\
# Generated from plugin/protocol/src/queries.rs by RSD_BLESS=1 cargo test -p rsd-server metrics
groups:
"
    .to_owned();
    for (window, interval) in [("5m", "15s"), ("1h", "1m"), ("6h", "5m")] {
        write!(text, "  - name: rsd_{window}\n    interval: {interval}\n    rules:\n").unwrap();
        for query in queries::ALL {
            let (record, expr) = (query.record_over(window), query.over(window));
            write!(text, "      - record: {record}\n        expr: >-\n          {expr}\n").unwrap();
        }
    }
    text
}

/// The names of all series of a scrape and of the recording rules.
fn known_series() -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for metric in ALL {
        match metric.kind {
            MetricKind::Histogram(_) => {
                known.extend(["_bucket", "_sum", "_count"].map(|part| metric.name.to_owned() + part));
            }
            MetricKind::Counter | MetricKind::Gauge => _ = known.insert(metric.name.to_owned()),
        }
    }
    for query in queries::ALL {
        known.extend(["5m", "1h", "6h"].map(|window| query.record_over(window)));
    }
    known
}

/// The names of our series in a text: `rsd_..`, or `instance:rsd_..` for a recording rule.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    words.filter(|word| word.starts_with("rsd_") || word.starts_with("instance:rsd_")).collect()
}

/// Finds the values of a key at any depth.
fn values<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(text) if name == key => found.push(text),
                    _ => values(value, key, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| values(item, key, found)),
        _ => {}
    }
}

/// The labels that the selectors of an expression name.
fn labels(expression: &str) -> Vec<&str> {
    let selectors = expression.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    selectors
        .flat_map(|selector| selector.split(','))
        .filter_map(|matcher| matcher.split(['=', '!', '~']).next())
        .map(str::trim)
        .filter(|label| !label.is_empty())
        .collect()
}

fn expressions(file: &str) -> Vec<String> {
    let value: Value = serde_yaml::from_str(&text(&format!("{MONITORING}/{file}"))).unwrap();
    let mut found = Vec::new();
    values(&value, "expr", &mut found);
    found.into_iter().map(str::to_owned).collect()
}

#[test]
fn the_document_and_the_recording_rules_are_current() {
    must_be_current("docs/metrics.md", &document());
    must_be_current("examples/monitoring/recording.yml", &recording());
}

#[test]
fn every_name_in_every_expression_is_one_that_the_server_exposes() {
    let known = known_series();
    for file in ["recording.yml", "alerts.yml", "grafana/dashboards/rsd.json"] {
        let expressions = expressions(file);
        assert!(expressions.len() > 7, "{file}: {expressions:?}");
        for expression in &expressions {
            let names = names(expression);
            assert!(!names.is_empty() || expression.starts_with("up{"), "{file}: {expression} names no series of ours");
            for name in names {
                assert!(known.contains(name), "{file}: there is no {name}");
            }
            for label in labels(expression) {
                let known = ["instance", "job", "le"].contains(&label)
                    || ALL.iter().any(|metric| metric.labels.iter().any(|(name, _)| *name == label));
                assert!(known, "{file}: no metric has the label {label}, as in {expression}");
            }
        }
    }
    let promised = text("docs/metrics.md") + &text(&format!("{MONITORING}/README.md"));
    let file_names = ["rsd_5m", "rsd_1h", "rsd_6h"];
    for name in names(&promised).into_iter().filter(|name| !file_names.contains(name)) {
        let bare =
            ALL.iter().any(|metric| metric.name == name) || queries::ALL.iter().any(|query| query.record == name);
        assert!(bare || known.contains(name), "the documentation names {name}, which does not exist");
    }
}

#[test]
fn the_dashboard_can_be_provisioned_and_chooses_instances() {
    let dashboard: Value = serde_json::from_str(&text(&format!("{MONITORING}/grafana/dashboards/rsd.json"))).unwrap();
    assert!(dashboard["uid"].is_string() && dashboard["id"].is_null(), "a dashboard with an id of another server");
    let variables: Vec<&str> =
        dashboard["templating"]["list"].as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap()).collect();
    assert_eq!(variables, ["datasource", "instance", "window"]);
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels with one id: {panel}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = target["expr"].as_str().unwrap();
            assert!(expr.contains("instance=~\"$instance\""), "{expr}");
        }
    }
    let mut expressions = Vec::new();
    values(&dashboard, "expr", &mut expressions);
    let shown: BTreeSet<&str> = expressions.iter().flat_map(|expr| names(expr)).collect();
    let hidden: Vec<&str> = ALL
        .iter()
        .map(|metric| metric.name)
        .filter(|name| !shown.iter().any(|shown| shown.starts_with(name)))
        // These are the same counts under vLLM's names.
        .filter(|name| !name.starts_with("rsd_spec_decode_"))
        .collect();
    assert!(hidden.is_empty(), "no panel shows {hidden:?}");
}
