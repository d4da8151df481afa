//! A server of the admin API in memory, made of the protocol's own types, with metrics that move with the threshold;
//! and metrics endpoints that misbehave.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
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
    error::{ErrorBody, ErrorCode, ErrorDetail, FieldProblem},
    event::Event,
    live::{Cause, Change, Changed, Difference, Live, Revert, Revision, Rollback},
    routes,
    token_file::TokenFile,
};
use serde_json::Value;
use std::collections::HashMap;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

use crate::fixture;

pub const READ: &str = "read-token";
pub const WRITE: &str = "write-token";

/// How `/metrics` misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    RandomMegabyte,
    Endless,
    HalfLine,
    BrokenOff,
    Hang,
    Status500,
    RedirectLoop,
}

struct Inside {
    live: Live,
    history: Vec<Revision>,
    reverts: Option<Revert>,
    steps: f64,
    kept: f64,
    fault: Fault,
    instance: String,
    endpoint: String,
    audit: Vec<rsd_protocol::event::Attempt>,
}

impl Inside {
    fn revision(&self) -> u64 {
        self.history[0].revision
    }

    fn etag(&self) -> String {
        format!("\"{}-{}\"", self.instance, self.revision())
    }

    fn view(&self) -> rsd_protocol::live::PolicyView {
        let mut view = fixture::view(&self.live, self.revision());
        view.reverts.clone_from(&self.reverts);
        view
    }

    fn revise(&mut self, live: Live, cause: Cause, by: Option<String>, why: Option<String>) -> Vec<Difference> {
        let differences = differences(&self.live, &live);
        let revision = self.revision() + 1;
        self.live = live.clone();
        self.history.insert(
            0,
            Revision {
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

    /// Takes back what has expired.
    fn expire(&mut self) {
        if let Some(revert) = self.reverts.clone().filter(|revert| revert.at_ms <= now_ms()) {
            self.reverts = None;
            let before = self.history.iter().find(|entry| entry.revision < revert.revision).unwrap().values.clone();
            self.revise(before, Cause::Expiry { of: revert.revision }, None, None);
        }
    }
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn differences(old: &Live, new: &Live) -> Vec<Difference> {
    let leaves = |live| rsd_console::state::settings::leaves(&serde_json::to_value(live).unwrap());
    let pairs = leaves(old).into_iter().zip(leaves(new));
    pairs.filter(|(a, b)| a.1 != b.1).map(|(a, b)| Difference { path: a.0, old: a.1, new: b.1 }).collect()
}

type Shared = Arc<Mutex<Inside>>;

/// A server that runs until it is dropped.
pub struct Fake {
    inside: Shared,
    pub admin: String,
    pub endpoint: String,
    pub ports: (u16, u16),
    runtime: Option<Runtime>,
}

impl Fake {
    pub fn start() -> Self {
        Self::start_on((0, 0), "first")
    }

    /// On these ports, as a restarted server is.
    pub fn start_on(ports: (u16, u16), instance: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let bind = |port| {
            let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
            listener.set_nonblocking(true).unwrap();
            let _within = runtime.enter();
            TcpListener::from_std(listener).unwrap()
        };
        let (admin, metrics) = (bind(ports.0), bind(ports.1));
        let ports = (admin.local_addr().unwrap().port(), metrics.local_addr().unwrap().port());
        let endpoint = format!("http://127.0.0.1:{}", ports.1);
        let live = fixture::live(0.7);
        let inside = Arc::new(Mutex::new(Inside {
            history: vec![Revision { differences: Vec::new(), values: live.clone(), ..fixture::history().remove(2) }],
            live,
            reverts: None,
            steps: 0.0,
            kept: 0.0,
            fault: Fault::None,
            instance: instance.to_owned(),
            endpoint: endpoint.clone(),
            audit: Vec::new(),
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

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap()
    }

    pub fn misbehave(&self, fault: Fault) {
        self.inside().fault = fault;
    }

    pub fn delta(&self) -> f64 {
        self.inside().live.policy.delta
    }

    pub fn revision(&self) -> u64 {
        self.inside().revision()
    }

    pub fn newest(&self) -> Revision {
        self.inside().history[0].clone()
    }

    /// Somebody else changes the threshold.
    pub fn change_by_another(&self, delta: f64) {
        let mut inside = self.inside();
        let mut live = inside.live.clone();
        live.policy.delta = delta;
        inside.revise(live, Cause::Patch, Some("ben".into()), None);
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

impl Drop for Fake {
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
        .route(routes::KEEP, post(keep))
        .route(routes::STATUS, get(status))
        .route(routes::PREVIEW, get(preview))
        .route(routes::TRACES, get(|| async { Json(fixture::traces()) }))
        .route(routes::TRACE, get(trace))
        .route(routes::AUDIT, get(|State(s): State<Shared>| async move { Json(s.lock().unwrap().audit.clone()) }))
        .route(routes::EVENTS, get(events))
        .layer(middleware::from_fn(authorise))
        .with_state(inside)
}

fn token(headers: &HeaderMap) -> &str {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "))
        .unwrap_or("")
}

async fn authorise(request: Request, next: Next) -> Response {
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

fn stale(headers: &HeaderMap, inside: &Inside) -> Option<Response> {
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
    Json(change): Json<Change>,
) -> Response {
    let mut inside = inside.lock().unwrap();
    inside.expire();
    if let Some(refusal) = stale(&headers, &inside) {
        return refusal;
    }
    let mut values = serde_json::to_value(&inside.live).unwrap();
    merge(&mut values, &change.set);
    let wanted = serde_json::from_value::<Live>(values).map_err(|error| error.to_string());
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
        inside.revise(live, Cause::Patch, change.by, change.why);
        let revision = inside.revision();
        inside.reverts = change.ttl_seconds.map(|ttl| Revert { revision, at_ms: now_ms() + ttl * 1000 });
    }
    let reverts = if dry_run { None } else { inside.reverts.clone() };
    changed(&inside, dry_run, found, prediction, reverts)
}

fn changed(
    inside: &Inside,
    dry_run: bool,
    differences: Vec<Difference>,
    prediction: Option<rsd_protocol::preview::Prediction>,
    reverts: Option<Revert>,
) -> Response {
    let revision = inside.revision();
    let changed =
        Changed { dry_run, revision, differences, prediction, warnings: Vec::new(), persisted: None, reverts };
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

async fn rollback(State(inside): State<Shared>, headers: HeaderMap, Json(asked): Json<Rollback>) -> Response {
    let mut inside = inside.lock().unwrap();
    if let Some(refusal) = stale(&headers, &inside) {
        return refusal;
    }
    let Some(entry) = inside.history.iter().find(|entry| entry.revision == asked.revision).cloned() else {
        return refuse(404, ErrorCode::UnknownRevision, "the history holds no such revision");
    };
    let found = inside.revise(entry.values, Cause::Rollback { to: asked.revision }, asked.by, asked.why);
    inside.reverts = None;
    changed(&inside, false, found, None, None)
}

async fn keep(State(inside): State<Shared>) -> Response {
    let mut inside = inside.lock().unwrap();
    inside.reverts = None;
    changed(&inside, false, Vec::new(), None, None)
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
    if inside.lock().unwrap().fault == Fault::Status500 {
        return refuse(500, ErrorCode::InvalidQuery, "no preview today");
    }
    Json(fixture::preview(inside.lock().unwrap().live.policy.delta)).into_response()
}

async fn trace(UrlPath(id): UrlPath<String>) -> Response {
    match fixture::trace(&id) {
        Some(trace) => Json(trace).into_response(),
        None => refuse(404, ErrorCode::UnknownTrace, "no such request is kept"),
    }
}

/// The first event, and then an end: the console must come back for more.
async fn events(State(inside): State<Shared>) -> Response {
    let revision = inside.lock().unwrap().revision();
    let data = serde_json::to_string(&Event::Hello { revision }).unwrap();
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
        inside.kept += (40.0 * fixture::acceptance(inside.live.policy.delta)).round();
        let text = fixture::metrics(inside.steps, inside.kept, inside.live.policy.delta, inside.revision());
        (inside.fault, text)
    };
    let head = |status: &str, more: &str| format!("HTTP/1.1 {status}\r\nconnection: close\r\n{more}\r\n").into_bytes();
    let whole = |text: &str| {
        [head("200 OK", &format!("content-length: {}\r\n", text.len())), text.as_bytes().to_vec()].concat()
    };
    let reply = match fault {
        Fault::None => whole(&text),
        Fault::RandomMegabyte => {
            let mut seed = 42_u64;
            let mut next = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                seed.to_be_bytes()[0]
            };
            [head("200 OK", ""), (0..1 << 20).map(|_| next()).collect()].concat()
        }
        Fault::Endless => {
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
        Fault::HalfLine => whole(&format!("{text}rsd_policy_del")),
        Fault::BrokenOff => [head("200 OK", "content-length: 100000\r\n"), text.as_bytes()[..200].to_vec()].concat(),
        Fault::Hang => return tokio::time::sleep(std::time::Duration::from_secs(60)).await,
        Fault::Status500 => head("500 Internal Server Error", "content-length: 0\r\n"),
        Fault::RedirectLoop => head("302 Found", "location: /metrics\r\ncontent-length: 0\r\n"),
    };
    let _ = stream.write_all(&reply).await;
}
