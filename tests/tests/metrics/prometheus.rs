//! Checks with Prometheus itself: its linter, its rule tests, and a Prometheus that scrapes the server.
//!
//! These tests need Debian's `prometheus` package and fail where it is not installed.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rsd_protocol::queries;
use rsd_tests::test_server::TestServer;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{ScrapedSamples, body, serve, text, until};

fn tool(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: apt-get install prometheus"))
}

fn monitoring() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/monitoring")
}

fn promtool(arguments: &[&str], input: &str) {
    let mut child = Command::new(tool("promtool"))
        .args(arguments)
        .current_dir(monitoring())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {printed}");
    // promtool succeeds although its linter has remarks; this test does not.
    assert!(arguments != ["check", "metrics"] || printed.trim().is_empty(), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_linter_finds_nothing_before_and_after_answers() {
    let server = serve().await;
    promtool(&["check", "metrics"], &text(&server).await);
    server.complete(&body("one two three", &json!({}))).await.unwrap();
    promtool(&["check", "metrics"], &text(&server).await);
    server.drain().await.unwrap();
}

#[test]
fn configuration_and_rules_are_valid_and_the_rules_do_what_their_tests_say() {
    promtool(&["check", "config", "prometheus.yml"], "");
    promtool(&["check", "rules", "recording.yml", "alerts.yml"], "");
    promtool(&["test", "rules", "rules_test.yml"], "");
}

/// A Prometheus that scrapes one server every second. It is killed when this value is dropped.
struct PrometheusServer {
    child: Child,
    url: String,
    client: reqwest::Client,
    _folder: TempDir,
}

impl Drop for PrometheusServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl PrometheusServer {
    async fn start(server: &TestServer) -> Self {
        let program = tool("prometheus");
        let folder = tempfile::tempdir().unwrap();
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [monitoring().join("recording.yml"), monitoring().join("alerts.yml")],
            "scrape_configs": [{
                "job_name": "rsd",
                "static_configs": [{"targets": [server.url.trim_start_matches("http://")]}],
            }],
        });
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, config.to_string()).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={free}"))
            .arg("--log.level=error")
            .spawn()
            .unwrap();
        let started = Self { child, url: format!("http://{free}"), client: reqwest::Client::new(), _folder: folder };
        for _ in 0..300 {
            let ready = started.client.get(format!("{}/-/ready", started.url)).send().await;
            if ready.is_ok_and(|ready| ready.status() == 200) {
                return started;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("Prometheus was not ready within 30 seconds");
    }

    /// The current values of an expression.
    async fn query(&self, expression: &str) -> Vec<f64> {
        let mut encoded = String::new();
        for byte in expression.bytes() {
            write!(encoded, "%{byte:02X}").unwrap();
        }
        let answer = self.client.get(format!("{}/api/v1/query?query={encoded}", self.url)).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let value = |series: &Value| series["value"][1].as_str().unwrap().parse().unwrap();
        answer["data"]["result"].as_array().unwrap().iter().map(value).collect()
    }

    async fn wait_for(&self, expression: &str, wanted: f64) {
        for _ in 0..300 {
            if self.query(expression).await == [wanted] {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{expression} is {:?}, not {wanted}", self.query(expression).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_that_scrapes_the_server_sees_what_the_server_counted() {
    let server = serve().await;
    let prometheus = PrometheusServer::start(&server).await;
    // A rate only counts increases after the first scrape, so the first answer has to wait for it.
    prometheus.wait_for("rsd_step_decisions_total", 0.0).await;
    prometheus.wait_for(r#"up{job="rsd"}"#, 1.0).await;
    for n in 0..6 {
        server.complete(&body(&format!("prompt {n}"), &json!({}))).await.unwrap();
    }
    let samples: ScrapedSamples = until(&server, |samples| samples.requests("completed") == 6.0).await;
    prometheus.wait_for("rsd_step_decisions_total", samples.decisions()).await;
    prometheus.wait_for(r#"rsd_requests_total{outcome="completed"}"#, 6.0).await;

    let expression_of = |name: &str| queries::ALL.iter().find(|query| query.record.contains(name)).unwrap().over("5m");
    let seconds = |name: &str| samples.sum(name, &[]);
    let flops = |name: &str| samples.sum(name, &[("accounting", "total")]);
    let accepted_tokens = samples.sum("rsd_draft_tokens_total", &[("outcome", "accepted")]);
    for (name, expected) in [
        ("rsd_step_acceptance", samples.steps("accepted") / samples.decisions()),
        ("rsd_token_acceptance", accepted_tokens / samples.sum("rsd_draft_tokens_total", &[])),
        ("rsd_speedup", seconds("rsd_target_only_estimated_seconds_total") / seconds("rsd_answer_model_seconds_total")),
        ("rsd_flops_saving", 1.0 - flops("rsd_estimated_flops_total") / flops("rsd_target_only_estimated_flops_total")),
    ] {
        let found = prometheus.query(&expression_of(name)).await;
        let [found] = found[..] else { panic!("{name}: {found:?}") };
        assert!((found - expected).abs() < 1e-6, "{name}: Prometheus says {found}, the counters {expected}");
    }
    // No model of this server has a price or an address.
    let absent = |expression: &str| ["_cost_total", "rsd_remote_address_"].iter().any(|name| expression.contains(name));
    for query in queries::ALL {
        let found = prometheus.query(&query.over("5m")).await.len();
        assert_eq!(found, usize::from(!absent(query.expr)), "{}", query.record);
    }

    // This Prometheus accepts the expression of every panel, and each finds a series.
    let dashboard = fs::read_to_string(monitoring().join("grafana/dashboards/rsd.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let (mut shown, mut empty) = (0, Vec::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            let asked =
                expression.replace("$window", "5m").replace("$__rate_interval", "5m").replace("$instance", ".*");
            match prometheus.query(&asked).await.len() {
                0 if absent(expression) => {}
                0 => empty.push(expression.to_owned()),
                _ => shown += 1,
            }
        }
    }
    assert!(shown > 40 && empty.is_empty(), "{shown} shown, empty: {empty:#?}");
    server.drain().await.unwrap();
}
