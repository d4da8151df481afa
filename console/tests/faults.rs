//! Servers that misbehave: a message, no panic, and back to normal once they behave.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use axum::{Json, Router, extract::Query, routing::get};
use rsd_console::{
    clock::SteadyClock,
    source::{
        ServerCommand, SourceMessage,
        discovery::{Credentials, ServerTarget},
        worker::{self, PollIntervals},
    },
    state::{
        app::{App, AppOptions},
        server::ServerConnection,
    },
};
use serde_json::json;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use crate::fake::{FakeServer, MetricsFault, READ, WRITE};

/// A console without its terminal.
struct Watching {
    app: App,
    messages: mpsc::Receiver<SourceMessage>,
    commands: mpsc::Sender<ServerCommand>,
    clock: SteadyClock,
    _tasks: JoinSet<()>,
}

impl Watching {
    fn start(target: ServerTarget) -> Self {
        let clock = SteadyClock::start();
        let (sender, messages) = mpsc::channel(64);
        let pace = PollIntervals { metrics: Duration::from_millis(100), admin: Duration::from_millis(200) };
        let mut tasks = JoinSet::new();
        let app = App::new(&[(target.name.clone(), target.admin.is_some())], AppOptions::default());
        let commands = worker::spawn(&mut tasks, (0, target), pace, false, clock, sender).unwrap();
        Self { app, messages, commands, clock, _tasks: tasks }
    }

    /// Takes messages until this holds.
    async fn until(&mut self, what: &str, holds: impl Fn(&App) -> bool) {
        let began = Instant::now();
        while !holds(&self.app) {
            let left = Duration::from_secs(40).saturating_sub(began.elapsed());
            match timeout(left, self.messages.recv()).await {
                Ok(Some(message)) => self.app.receive(message),
                _ => panic!("never {what}: {:?}", self.app.data.servers[0].connection(self.clock.now_ms())),
            }
        }
    }
}

fn metrics_target(fake: &FakeServer) -> ServerTarget {
    ServerTarget { name: "fake".into(), endpoint: Some(fake.endpoint.clone()), ..ServerTarget::default() }
}

fn whole(fake: &FakeServer, token: &str) -> ServerTarget {
    let credentials = Credentials { token: Some(token.into()), file: None };
    ServerTarget { name: "fake".into(), admin: Some(fake.admin.clone()), endpoint: None, credentials }
}

fn cause(app: &App) -> Option<String> {
    match app.data.servers[0].connection(app.data.now_ms) {
        ServerConnection::Down { cause, .. } => Some(cause),
        _ => None,
    }
}

async fn says_and_recovers(fault: MetricsFault, words: &str) {
    let fake = FakeServer::start();
    let mut watching = Watching::start(metrics_target(&fake));
    watching.until("live", |app| app.data.servers[0].connection(app.data.now_ms) == ServerConnection::Live).await;
    fake.misbehave(fault);
    watching.until(words, |app| cause(app).is_some_and(|cause| cause.contains(words))).await;
    fake.misbehave(MetricsFault::None);
    watching.until("live again", |app| app.data.servers[0].connection(app.data.now_ms) == ServerConnection::Live).await;
}

#[tokio::test]
async fn a_megabyte_of_random_bytes() {
    says_and_recovers(MetricsFault::RandomMegabyte, "has no rsd_ metrics").await;
}

#[tokio::test]
async fn an_endless_body() {
    says_and_recovers(MetricsFault::Endless, "more than 8 MiB").await;
}

#[tokio::test]
async fn a_body_that_breaks_off() {
    says_and_recovers(MetricsFault::BrokenOff, "/metrics failed: ").await;
}

#[tokio::test]
async fn a_server_that_hangs() {
    says_and_recovers(MetricsFault::Hang, "did not answer within 5 s").await;
}

#[tokio::test]
async fn a_server_with_an_error() {
    says_and_recovers(MetricsFault::Status500, "answers 500").await;
}

#[tokio::test]
async fn a_server_that_answers_half_of_it_is_live_and_says_which_half_is_missing() {
    let fake = FakeServer::start();
    fake.misbehave(MetricsFault::Status500);
    let mut watching = Watching::start(whole(&fake, WRITE));
    watching.until("half", |app| app.data.servers[0].metrics_problem(app.data.now_ms).is_some()).await;
    watching.until("told the rest", |app| app.data.servers[0].traces.len() == 5).await;
    let server = &watching.app.data.servers[0];
    assert_eq!(server.connection(watching.app.data.now_ms), ServerConnection::Live);
    assert!(server.preview.is_none() && server.history.len() == 1);
    assert!(server.metrics_problem(watching.app.data.now_ms).unwrap().contains("answers 500"));
}

#[tokio::test]
async fn a_redirect_that_leads_to_itself() {
    says_and_recovers(MetricsFault::RedirectLoop, "redirects too often").await;
}

/// Answers as Prometheus does, to the questions the console asks.
async fn prometheus() -> String {
    let answer = |Query(query): Query<HashMap<String, String>>| async move {
        let question = &query["query"];
        let value = match () {
            () if question.contains("rsd_steps_total") => "0.625",
            () if question.contains("rsd_target_only_estimated_seconds_total") => "NaN",
            () if question.contains("rsd_emitted_tokens_total") => "12.5",
            () => "1",
        };
        let values = [(1_700_000_000.0, "0.5"), (1_700_000_060.0, "0.75")];
        let series = if query.contains_key("step") {
            json!({"metric": {"instance": "three:1234"}, "values": values})
        } else {
            json!({"metric": {"instance": "three:1234"}, "value": [1_700_000_000.0, value]})
        };
        Json(json!({"status": "success", "data": {"resultType": "vector", "result": [series]}}))
    };
    let app = Router::new().route("/api/v1/query", get(answer)).route("/api/v1/query_range", get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    format!("http://{address}")
}

#[tokio::test]
async fn prometheus_tells_of_the_fleet_and_of_the_past_or_why_it_does_not() {
    let fake = FakeServer::start();
    let base = prometheus().await;
    let mut watching = Watching::start(metrics_target(&fake));
    let (sender, mut messages) = mpsc::channel(16);
    let mut tasks = JoinSet::new();
    worker::spawn_prometheus(&mut tasks, &base, vec!["three:1234".into()], watching.clock, sender.clone()).unwrap();
    for _ in 0..2 {
        watching.app.receive(messages.recv().await.unwrap());
    }
    assert_eq!(watching.app.data.servers[0].past, [(1_700_000_000_000, 0.5), (1_700_000_060_000, 0.75)]);
    let row = &watching.app.data.fleet[0];
    assert_eq!(
        (row.instance.as_str(), row.up, row.acceptance, row.throughput),
        ("three:1234", true, Some(0.625), Some(12.5))
    );
    assert!(row.speedup.unwrap().is_nan(), "what Prometheus cannot compute is no number");
    worker::spawn_prometheus(&mut tasks, &fake.endpoint, Vec::new(), watching.clock, sender).unwrap();
    watching.app.receive(messages.recv().await.unwrap());
    let problem = watching.app.data.fleet_problem.clone().unwrap();
    assert!(problem.contains("not an answer of Prometheus"), "{problem}");
}

#[tokio::test]
async fn half_a_line_is_skipped_and_counted() {
    let fake = FakeServer::start();
    fake.misbehave(MetricsFault::HalfLine);
    let mut watching = Watching::start(metrics_target(&fake));
    watching.until("a bad line", |app| app.data.servers[0].bad_lines == 1).await;
    assert_eq!(watching.app.data.servers[0].delta(), Some(0.7), "the rest is read");
}

#[tokio::test]
async fn what_is_no_admin_api_is_said_and_what_the_token_may_not_is_refused() {
    let fake = FakeServer::start();
    let target = ServerTarget { admin: Some(fake.endpoint.clone()), ..whole(&fake, WRITE) };
    let mut foreign = Watching::start(target);
    foreign.until("foreign", |app| cause(app).is_some_and(|cause| cause.contains("does not understand"))).await;

    let mut unknown = Watching::start(whole(&fake, "wrong"));
    unknown.until("unknown", |app| cause(app).is_some_and(|cause| cause.contains("unknown one"))).await;

    let mut reader = Watching::start(whole(&fake, READ));
    reader.until("known", |app| app.data.servers[0].policy.is_some() && app.data.servers[0].status.is_some()).await;
    assert!(reader.app.why_readonly().unwrap().contains("may only read"));
    reader.commands.send(ServerCommand::Trace("req-0".into())).await.unwrap();
    reader.until("a trace", |app| app.data.servers[0].trace.is_some()).await;
}

#[tokio::test]
async fn a_restarted_server_with_new_tokens_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let fake = FakeServer::start();
    let ports = fake.ports;
    fake.leave_token_file(folder.path());
    let file = folder.path().join(format!("admin-{}.json", ports.0));
    let right = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, right.replace(WRITE, "older-token")).unwrap();
    let credentials = Credentials { token: Some("older-token".into()), file: Some(file.clone()) };
    let mut watching = Watching::start(ServerTarget { credentials, ..whole(&fake, WRITE) });
    watching.until("refused", |app| cause(app).is_some()).await;
    std::fs::write(&file, right).unwrap();
    watching.until("live", |app| app.data.servers[0].connection(app.data.now_ms) == ServerConnection::Live).await;
    drop(fake);
    watching.until("down", |app| cause(app).is_some()).await;
    let _again = FakeServer::start_on(ports, "second");
    watching
        .until("live again", |app| {
            let server = &app.data.servers[0];
            server.connection(app.data.now_ms) == ServerConnection::Live
                && server.status.as_ref().unwrap().instance == "second"
        })
        .await;
}
