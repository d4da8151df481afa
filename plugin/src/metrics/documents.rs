//! What is written from the list of metrics, and what must agree with it: `docs/metrics.md` and the files of
//! `examples/monitoring`. `RSD_BLESS=1` writes the generated ones anew.

use std::{collections::BTreeSet, env, fmt::Write as _, fs, path::PathBuf};

use rsd_protocol::{
    metrics::{ALL, Kind, markdown},
    queries,
};
use serde_json::Value;

const MONITORING: &str = "../examples/monitoring";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn must_be_current(name: &str, current: &str) {
    if env::var_os("RSD_BLESS").is_some() {
        fs::write(path(name), current).unwrap();
    }
    assert!(text(name) == current, "{name} is not current; run the tests with RSD_BLESS=1");
}

fn document() -> String {
    let mut text = "\
# Metrics

`GET /metrics` on the OpenAI port answers in Prometheus' text format, without a key; `server.metrics: false` turns it
off. Nothing in it names a user or a prompt. `examples/monitoring` has scrape configuration, recording rules, alerts and
a Grafana dashboard.

This page is written from the code: `RSD_BLESS=1 cargo test --release -p mistralrs-rsd --lib metrics`.

## Every metric

"
    .to_owned();
    text += &markdown();
    text += "
Every value of every label in this table is there from the start, at 0, so that `rate` and `increase` see the first
event. What the server does not know is absent, not 0. Accepted and rejected steps add up to the judged ones in every
scrape, whatever became of the requests.

## What to compute from them

`examples/monitoring/recording.yml` records each of these over 5 minutes, 1 hour and 6 hours, under its name with
`_rate5m`, `_rate1h` and `_rate6h`. Put any window for `$window`.

";
    for query in queries::ALL {
        write!(text, "**{}** (`{}`)\n\n```promql\n{}\n```\n\n", query.help, query.record, query.expr).unwrap();
    }
    text += "\
## How the speed-up is measured

RSD's own seconds are the sum of what draft, reward model and target worked on complete answers, measured. The seconds
of the target alone are an estimate: for the same answers, the prompt tokens that no cache held at the target's observed
seconds per token read, and the answer's tokens at its observed seconds per token written (`rsd_observed_seconds_per_token`).
A short probe before the server is ready gives both speeds before the first answer (`server.probe`). An answer that came
before they were known is in neither of the two counters, nor is one that was cancelled or failed: what it cost would not
be told in full. Seconds of waiting for another answer's turn are no work and in neither.

The speed-up is therefore one of work, not of waiting: it says how much longer the same machine would have been busy.
`rsd_time_to_first_token_seconds`, `rsd_inter_token_seconds` and `rsd_request_seconds` say what clients waited.
";
    text
}

fn recording() -> String {
    let mut text = "\
# Written from the code (plugin/protocol/src/queries.rs); RSD_BLESS=1 cargo test --release -p mistralrs-rsd --lib metrics
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

/// Every series a scrape or a recording rule gives.
fn known() -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for metric in ALL {
        match metric.kind {
            Kind::Histogram(_) => known.extend(["_bucket", "_sum", "_count"].map(|part| metric.name.to_owned() + part)),
            Kind::Counter | Kind::Gauge => _ = known.insert(metric.name.to_owned()),
        }
    }
    for query in queries::ALL {
        known.extend(["5m", "1h", "6h"].map(|window| query.record_over(window)));
    }
    known
}

/// The names of ours in some text: `rsd_..`, or a recording rule's `instance:rsd_..`.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    words.filter(|word| word.starts_with("rsd_") || word.starts_with("instance:rsd_")).collect()
}

/// The values of a key, wherever it stands.
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

fn expressions(file: &str) -> Vec<String> {
    let value: Value = serde_yaml::from_str(&text(&format!("{MONITORING}/{file}"))).unwrap();
    let mut found = Vec::new();
    values(&value, "expr", &mut found);
    found.into_iter().map(str::to_owned).collect()
}

#[test]
fn the_document_and_the_recording_rules_are_current() {
    must_be_current("../docs/metrics.md", &document());
    must_be_current("../examples/monitoring/recording.yml", &recording());
}

#[test]
fn every_name_in_every_expression_is_one_that_the_server_gives() {
    let known = known();
    for file in ["recording.yml", "alerts.yml", "grafana/dashboards/rsd.json"] {
        let expressions = expressions(file);
        assert!(expressions.len() > 7, "{file}: {expressions:?}");
        for expression in &expressions {
            let names = names(expression);
            assert!(!names.is_empty() || expression.starts_with("up{"), "{file}: {expression} asks for none of ours");
            for name in names {
                assert!(known.contains(name), "{file}: there is no {name}");
            }
        }
    }
    let promised = text("../docs/metrics.md") + &text(&format!("{MONITORING}/README.md"));
    let file_names = ["rsd_5m", "rsd_1h", "rsd_6h"];
    for name in names(&promised).into_iter().filter(|name| !file_names.contains(name)) {
        let bare =
            ALL.iter().any(|metric| metric.name == name) || queries::ALL.iter().any(|query| query.record == name);
        assert!(bare || known.contains(name), "the documentation names {name}");
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
        // The same counts in vLLM's words.
        .filter(|name| !name.starts_with("rsd_spec_decode_"))
        .collect();
    assert!(hidden.is_empty(), "no panel shows {hidden:?}");
}
