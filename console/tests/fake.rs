//! A server of the admin API in memory, made of the protocol's own types, with metrics that move with the threshold;
//! and metrics endpoints that misbehave.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Json, Router,
    extract::{Path as UrlPath, Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use rsd_protocol::{
    clock::now_ms,
    error::{ErrorBody, ErrorCode, ErrorDetail, FieldProblem},
    event::AdminEvent,
    routes,
    settings::{
        ChangeResult, PolicyChange, PolicyRevision, RevisionCause, RollbackRequest, RuntimeSettings, ScheduledRevert,
        SettingDifference,
    },
    token_file::TokenFile,
};
use serde_json::Value;
use std::collections::HashMap;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

use rsd_console::test_support::fixture;

pub const READ: &str = "read-token";
pub const WRITE: &str = "write-token";

/// How `/metrics` misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFault {
    None,
    RandomMegabyte,
    Endless,
    HalfLine,
    BrokenOff,
    Hang,
    Status500,
    RedirectLoop,
}

struct FakeState {
    live: RuntimeSettings,
    history: Vec<PolicyRevision>,
    reverts: Option<ScheduledRevert>,
    steps: f64,
    accepted: f64,
    fault: MetricsFault,
    instance: String,
    endpoint: String,
    audit: Vec<rsd_protocol::event::AdminAttempt>,
    /// Steps of the newest request so far, if it is in work.
    in_work: Option<usize>,
}

impl FakeState {
    fn revision(&self) -> u64 {
        self.history[0].revision
    }

    fn etag(&self) -> String {
        format!("\"{}-{}\"", self.instance, self.revision())
    }

    fn view(&self) -> rsd_protocol::settings::PolicyView {
        let mut view = fixture::view(&self.live, self.revision());
        view.reverts.clone_from(&self.reverts);
        view
    }

    fn revise(
        &mut self,
        live: RuntimeSettings,
        cause: RevisionCause,
        by: Option<String>,
        why: Option<String>,
    ) -> Vec<SettingDifference> {
        let differences = differences(&self.live, &live);
        let revision = self.revision() + 1;
        self.live = live.clone();
        self.history.insert(
            0,
            PolicyRevision {
                revision,
                at_ms: now_ms(),
                cause,
                from: Some("127.0.0.1".into()),
                by,
                why,
                differences: differences.clone(),
                reverts_at_ms: None,
                values: live,
            },
        );
        differences
    }

    /// Reverts what has expired.
    fn expire(&mut self) {
        if let Some(revert) = self.reverts.clone().filter(|revert| revert.at_ms <= now_ms()) {
            self.reverts = None;
            let before = self.history.iter().find(|entry| entry.revision < revert.revision).unwrap().values.clone();
            self.revise(before, RevisionCause::Expiry { of: revert.revision }, None, None);
        }
    }
}

fn differences(old: &RuntimeSettings, new: &RuntimeSettings) -> Vec<SettingDifference> {
    let leaves = |live| rsd_console::state::settings::leaves(&serde_json::to_value(live).unwrap());
    let pairs = leaves(old).into_iter().zip(leaves(new));
    pairs.filter(|(a, b)| a.1 != b.1).map(|(a, b)| SettingDifference { path: a.0, old: a.1, new: b.1 }).collect()
}

type Shared = Arc<Mutex<FakeState>>;

/// A server that runs until it is dropped.
pub struct FakeServer {
    inside: Shared,
    pub admin: String,
    pub endpoint: String,
    pub ports: (u16, u16),
    runtime: Option<Runtime>,
}

impl FakeServer {
    pub fn start() -> Self {
        Self::start_on((0, 0), "first")
    }

    /// On these ports, as a restarted server is.
    pub fn start_on(ports: (u16, u16), instance: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let bind = |port| {
            // The port of a server that has just stopped may serve somebody's connection for a moment.
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let mut bound = std::net::TcpListener::bind(address);
            for _ in 0..200 {
                if bound.is_ok() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(50));
                bound = std::net::TcpListener::bind(address);
            }
            let listener = bound.unwrap();
            listener.set_nonblocking(true).unwrap();
            let _within = runtime.enter();
            TcpListener::from_std(listener).unwrap()
        };
        let (admin, metrics) = (bind(ports.0), bind(ports.1));
        let ports = (admin.local_addr().unwrap().port(), metrics.local_addr().unwrap().port());
        let endpoint = format!("http://127.0.0.1:{}", ports.1);
        let live = fixture::live(0.7);
        let inside = Arc::new(Mutex::new(FakeState {
            history: vec![PolicyRevision {
                differences: Vec::new(),
                values: live.clone(),
                ..fixture::history().remove(2)
            }],
            live,
            reverts: None,
            steps: 0.0,
            accepted: 0.0,
            fault: MetricsFault::None,
            instance: instance.to_owned(),
            endpoint: endpoint.clone(),
            audit: Vec::new(),
            in_work: None,
        }));
        let app = router(inside.clone());
        runtime.spawn(async move { axum::serve(admin, app).await.unwrap() });
        let shared = inside.clone();
        runtime.spawn(async move {
            while let Ok((stream, _)) = metrics.accept().await {
                tokio::spawn(answer_metrics(stream, shared.clone()));
            }
        });
        Self { inside, admin: format!("http://127.0.0.1:{}", ports.0), endpoint, ports, runtime: Some(runtime) }
    }

    fn inside(&self) -> MutexGuard<'_, FakeState> {
        self.inside.lock().unwrap()
    }

    pub fn misbehave(&self, fault: MetricsFault) {
        self.inside().fault = fault;
    }

    pub fn delta(&self) -> f64 {
        self.inside().live.policy.delta
    }

    pub fn revision(&self) -> u64 {
        self.inside().revision()
    }

    pub fn newest(&self) -> PolicyRevision {
        self.inside().history[0].clone()
    }

    /// Somebody else changes the threshold.
    pub fn change_by_another(&self, delta: f64) {
        let mut inside = self.inside();
        let mut live = inside.live.clone();
        live.policy.delta = delta;
        inside.revise(live, RevisionCause::Patch, Some("ben".into()), None);
    }

    /// Sets the newest request to work: at each look it has one step more, and after its last it has ended.
    pub fn begin_request(&self) {
        self.inside().in_work = Some(0);
    }

    /// Leaves the file that a server leaves for its console.
    pub fn leave_token_file(&self, folder: &Path) {
        let file = TokenFile {
            admin: self.admin.clone(),
            endpoint: self.endpoint.clone(),
            read_token: READ.into(),
            write_token: WRITE.into(),
        };
        std::fs::create_dir_all(folder).unwrap();
        let path = folder.join(format!("admin-{}.json", self.ports.0));
        std::fs::write(path, serde_json::to_string(&file).unwrap()).unwrap();
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn router(inside: Shared) -> Router {
    Router::new()
        .route(routes::POLICY, get(get_policy).patch(patch_policy))
        .route(routes::HISTORY, get(|State(s): State<Shared>| async move { Json(s.lock().unwrap().history.clone()) }))
        .route(routes::ROLLBACK, post(rollback))
        .route(routes::CONFIRM, post(confirm))
        .route(routes::STATUS, get(status))
        .route(routes::PREVIEW, get(preview))
        .route(routes::TRACES, get(traces))
        .route(routes::TRACE, get(trace))
        .route(routes::AUDIT, get(|State(s): State<Shared>| async move { Json(s.lock().unwrap().audit.clone()) }))
        .route(routes::EVENTS, get(events))
        .layer(middleware::from_fn(authorize))
        .with_state(inside)
}

fn token(headers: &HeaderMap) -> &str {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "))
        .unwrap_or("")
}

async fn authorize(request: Request, next: Next) -> Response {
    let dry = request.uri().query().is_some_and(|query| query.contains("dry_run=true"));
    let writes = request.method() != "GET" && !dry;
    match token(request.headers()) {
        WRITE => next.run(request).await,
        READ if !writes => next.run(request).await,
        READ => refuse(403, ErrorCode::WriteTokenRequired, "the write token is needed here"),
        _ => refuse(401, ErrorCode::InvalidToken, "no token, or an unknown one"),
    }
}

fn refuse(status: u16, code: ErrorCode, message: &str) -> Response {
    refusal(status, ErrorDetail { code, message: message.into(), problems: Vec::new(), current: None })
}

fn refusal(status: u16, error: ErrorDetail) -> Response {
    (StatusCode::from_u16(status).unwrap(), Json(ErrorBody { error })).into_response()
}

async fn get_policy(State(inside): State<Shared>) -> Response {
    let mut inside = inside.lock().unwrap();
    inside.expire();
    ([(header::ETAG, inside.etag())], Json(inside.view())).into_response()
}

fn stale(headers: &HeaderMap, inside: &FakeState) -> Option<Response> {
    let named = headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok());
    match named {
        None => Some(refuse(428, ErrorCode::RevisionRequired, "If-Match is needed")),
        Some(etag) if etag == inside.etag() => None,
        Some(_) => Some(refusal(
            412,
            ErrorDetail {
                code: ErrorCode::RevisionStale,
                message: "somebody else made a change meanwhile".into(),
                problems: Vec::new(),
                current: Some(Box::new(inside.view())),
            },
        )),
    }
}

async fn patch_policy(
    State(inside): State<Shared>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    Json(change): Json<PolicyChange>,
) -> Response {
    let mut inside = inside.lock().unwrap();
    inside.expire();
    if let Some(refusal) = stale(&headers, &inside) {
        return refusal;
    }
    let mut values = serde_json::to_value(&inside.live).unwrap();
    merge(&mut values, &change.set);
    let wanted = serde_json::from_value::<RuntimeSettings>(values).map_err(|error| error.to_string());
    let checked = wanted.and_then(|live| live.policy.validate().map_err(|error| error.to_string()).map(|()| live));
    let live = match checked {
        Ok(live) => live,
        Err(message) => {
            return refusal(
                422,
                ErrorDetail {
                    code: ErrorCode::InvalidSettings,
                    message: "1 setting was refused".into(),
                    problems: vec![FieldProblem { path: "policy".into(), message }],
                    current: None,
                },
            );
        }
    };
    let dry_run = query.get("dry_run").is_some_and(|value| value == "true");
    let found = differences(&inside.live, &live);
    let moved = found.iter().any(|difference| difference.path == "policy.delta");
    let prediction = (dry_run && moved).then(|| fixture::prediction(inside.live.policy.delta, live.policy.delta));
    if !dry_run && !found.is_empty() {
        inside.revise(live, RevisionCause::Patch, change.by, change.why);
        let revision = inside.revision();
        inside.reverts = change.ttl_seconds.map(|ttl| ScheduledRevert { revision, at_ms: now_ms() + ttl * 1000 });
    }
    let reverts = if dry_run { None } else { inside.reverts.clone() };
    changed(&inside, dry_run, found, prediction, reverts)
}

fn changed(
    inside: &FakeState,
    dry_run: bool,
    differences: Vec<SettingDifference>,
    prediction: Option<rsd_protocol::preview::ChangePrediction>,
    reverts: Option<ScheduledRevert>,
) -> Response {
    let revision = inside.revision();
    let changed =
        ChangeResult { dry_run, revision, differences, prediction, warnings: Vec::new(), persisted: None, reverts };
    ([(header::ETAG, inside.etag())], Json(changed)).into_response()
}

fn merge(values: &mut Value, set: &Value) {
    match (values, set) {
        (Value::Object(values), Value::Object(set)) => {
            for (key, value) in set {
                merge(values.entry(key).or_insert(Value::Null), value);
            }
        }
        (values, set) => *values = set.clone(),
    }
}

async fn rollback(State(inside): State<Shared>, headers: HeaderMap, Json(asked): Json<RollbackRequest>) -> Response {
    let mut inside = inside.lock().unwrap();
    if let Some(refusal) = stale(&headers, &inside) {
        return refusal;
    }
    let Some(entry) = inside.history.iter().find(|entry| entry.revision == asked.revision).cloned() else {
        return refuse(404, ErrorCode::UnknownRevision, "the history holds no such revision");
    };
    let found = inside.revise(entry.values, RevisionCause::Rollback { to: asked.revision }, asked.by, asked.why);
    inside.reverts = None;
    changed(&inside, false, found, None, None)
}

async fn confirm(State(inside): State<Shared>) -> Response {
    Json(inside.lock().unwrap().reverts.take().into_iter().collect::<Vec<ScheduledRevert>>()).into_response()
}

async fn status(State(inside): State<Shared>, headers: HeaderMap) -> Response {
    let mut inside = inside.lock().unwrap();
    inside.expire();
    let mut status = fixture::status(&inside.endpoint, &inside.live, inside.revision(), token(&headers) == WRITE);
    status.instance.clone_from(&inside.instance);
    status.now_ms = now_ms();
    Json(status).into_response()
}

async fn preview(State(inside): State<Shared>, Query(query): Query<HashMap<String, String>>) -> Response {
    if query.get("delta").is_none_or(|range| !range.contains("..")) || !query.contains_key("step") {
        return refuse(400, ErrorCode::InvalidQuery, "delta and step are needed");
    }
    if inside.lock().unwrap().fault == MetricsFault::Status500 {
        return refuse(500, ErrorCode::InvalidQuery, "no preview today");
    }
    Json(fixture::preview(inside.lock().unwrap().live.policy.delta)).into_response()
}

async fn traces(State(inside): State<Shared>) -> Response {
    let mut traces = fixture::traces();
    if let Some(steps) = inside.lock().unwrap().in_work {
        traces[0] = fixture::running(steps).summary;
    }
    Json(traces).into_response()
}

async fn trace(State(inside): State<Shared>, UrlPath(id): UrlPath<String>) -> Response {
    let mut inside = inside.lock().unwrap();
    if let (Some(steps), "req-0") = (inside.in_work, id.as_str()) {
        inside.in_work = Some(steps + 1).filter(|next| *next < 6);
        return Json(fixture::running(steps)).into_response();
    }
    match fixture::trace(&id) {
        Some(trace) => Json(trace).into_response(),
        None => refuse(404, ErrorCode::UnknownTrace, "no such request is recorded"),
    }
}

/// The first event, and then an end: the console must come back for more.
async fn events(State(inside): State<Shared>) -> Response {
    let revision = inside.lock().unwrap().revision();
    let data = serde_json::to_string(&AdminEvent::Hello { revision }).unwrap();
    ([(header::CONTENT_TYPE, "text/event-stream")], format!("event: hello\ndata: {data}\n\n")).into_response()
}

async fn answer_metrics(mut stream: TcpStream, inside: Shared) {
    let mut request = [0; 2048];
    if !matches!(stream.read(&mut request).await, Ok(1..)) {
        return;
    }
    let (fault, text) = {
        let mut inside = inside.lock().unwrap();
        inside.steps += 40.0;
        inside.accepted += (40.0 * fixture::acceptance(inside.live.policy.delta)).round();
        let text = fixture::metrics(inside.steps, inside.accepted, inside.live.policy.delta, inside.revision());
        (inside.fault, text)
    };
    let head = |status: &str, more: &str| format!("HTTP/1.1 {status}\r\nconnection: close\r\n{more}\r\n").into_bytes();
    let whole = |text: &str| {
        [head("200 OK", &format!("content-length: {}\r\n", text.len())), text.as_bytes().to_vec()].concat()
    };
    let reply = match fault {
        MetricsFault::None => whole(&text),
        MetricsFault::RandomMegabyte => {
            let mut seed = 42_u64;
            let mut next = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                seed.to_be_bytes()[0]
            };
            [head("200 OK", ""), (0..1 << 20).map(|_| next()).collect()].concat()
        }
        MetricsFault::Endless => {
            let _ = stream.write_all(&head("200 OK", "")).await;
            let chunk = "rsd_policy_delta 0.5\n".repeat(4096);
            // 50 MB, unless the reader leaves before.
            for _ in 0..600 {
                if stream.write_all(chunk.as_bytes()).await.is_err() {
                    return;
                }
            }
            return;
        }
        MetricsFault::HalfLine => whole(&format!("{text}rsd_policy_del")),
        MetricsFault::BrokenOff => {
            [head("200 OK", "content-length: 100000\r\n"), text.as_bytes()[..200].to_vec()].concat()
        }
        MetricsFault::Hang => return tokio::time::sleep(std::time::Duration::from_secs(60)).await,
        MetricsFault::Status500 => head("500 Internal Server Error", "content-length: 0\r\n"),
        MetricsFault::RedirectLoop => head("302 Found", "location: /metrics\r\ncontent-length: 0\r\n"),
    };
    let _ = stream.write_all(&reply).await;
}
