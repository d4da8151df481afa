//! The admin API beside a real server: policy changes while answers are being computed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::float_cmp)]

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use rsd_config::{
    TargetRule,
    control::{Control, LayerSources},
};

use rsd_core::{
    pipeline::observe::{ObserverFanout, PipelineEvent, PipelineObserver},
    policy::PolicyHandle,
    prediction::StepRecorder,
};

use parking_lot::Mutex;
use rsd_server::{
    AppState,
    admin::{self, AdminState, AdminTokens, AuditLog, RecentTraces},
};
use rsd_tests::{test_server::TestServer, tiny_pipeline};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const FILE: &str = "version: 1
roles: {draft: {bundled: draft}, target: {bundled: target}}
policy: {delta: 0.5, after_rejection: draft}
steps: {max_tokens: 64}
limits: {max_tokens: 400, running: 8}
";

/// When a step was decided, in which answer, and under which policy revision.
#[derive(Debug)]
struct TimedDecision {
    at: Instant,
    answer: u64,
    revision: u64,
}

/// Records the decision on each step.
#[derive(Default)]
struct DecisionLog(Mutex<Vec<TimedDecision>>);

impl PipelineObserver for DecisionLog {
    fn observe(&self, answer: u64, event: &PipelineEvent<'_>) {
        if let PipelineEvent::StepDecided(decided) = event {
            let decision = TimedDecision { at: Instant::now(), answer, revision: decided.policy.revision };
            self.0.lock().push(decision);
        }
    }
}

struct AdminSite {
    decisions: Arc<DecisionLog>,
    served: TestServer,
    control: Arc<Control>,
    url: String,
    _folder: tempfile::TempDir,
}

impl AdminSite {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("d.yaml");
        fs::write(&file, FILE).unwrap();
        let loaded = rsd_config::load(Some(&file), [], &[], TargetRule::Required).unwrap();
        let limits = loaded.deployment.limits.clone();
        let mut rsd = Box::pin(tiny_pipeline::rsd(&limits)).await.unwrap();
        rsd.policy = Arc::new(PolicyHandle::new(loaded.deployment.runtime_settings()).unwrap());
        let decisions = Arc::new(DecisionLog::default());
        let recorder = Arc::new(StepRecorder::new(4096));
        let traces = Arc::new(RecentTraces::new(50, true));
        rsd.observer = Arc::new(ObserverFanout(vec![recorder.clone(), traces.clone(), decisions.clone()]));
        let sources = LayerSources {
            file: Some(file.clone()),
            environment: Vec::new(),
            overrides: Vec::new(),
            target: TargetRule::Required,
        };
        let control = Control::new(rsd.policy.clone(), loaded, sources, 1000, |_| {});
        let app = Arc::new(AppState::new(rsd, "rsd".to_owned(), "tiny".to_owned(), limits));
        let served = TestServer::run(app.clone()).await.unwrap();
        let admin = AdminState {
            app,
            control: control.clone(),
            recorder,
            traces,
            tokens: AdminTokens::new(Some("reader"), Some("writer")),
            audit: AuditLog::default(),
            hosts: Vec::new(),
            origins: Vec::new(),
            endpoint: served.url.clone(),
            file: Some(file),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = admin::router(Arc::new(admin)).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { decisions, served, control, url, _folder: folder }
    }

    async fn get(&self, path: &str) -> (Option<String>, Value) {
        let answer = self.served.client.get(format!("{}{path}", self.url)).bearer_auth("reader").send().await.unwrap();
        let tag = answer.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
        (tag, answer.json().await.unwrap())
    }

    /// Changes settings. Returns the HTTP status and the JSON of the answer.
    async fn patch(&self, tag: &str, set: Value) -> (u16, Value) {
        let request = self.served.client.patch(format!("{}/admin/v1/policy", self.url));
        let answer =
            request.bearer_auth("writer").header("if-match", tag).json(&json!({"set": set})).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

/// The trace's steps of one streamed answer, which must not end with an error.
async fn stream(site: &AdminSite, seed: u64) -> Vec<Value> {
    let body = json!({
        "model": "rsd", "prompt": "once upon", "max_tokens": 300, "temperature": 1, "seed": seed, "stream": true,
        "rsd": {"trace": true},
    });
    let response = site.served.post("/v1/completions", body.to_string()).await.unwrap();
    assert_eq!(response.status(), 200);
    let text = response.text().await.unwrap();
    let events: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let (done, events) = events.split_last().unwrap();
    assert_eq!(*done, "[DONE]");
    let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
    assert!(last.get("error").is_none(), "{last}");
    last["rsd"]["choices"][0]["steps"].as_array().unwrap_or_else(|| panic!("no trace in {last}")).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_during_eight_streams_breaks_none_and_counts_from_the_next_step() {
    let site = Arc::new(AdminSite::open().await);
    let streams: Vec<_> = (0..8)
        .map(|seed| {
            let site = site.clone();
            tokio::spawn(async move { stream(&site, seed).await })
        })
        .collect();
    // Change the threshold until all streams are over; record when each change was answered, its revision and its
    // delta.
    let (mut changes, mut round) = (Vec::new(), 0);
    while !streams.iter().all(tokio::task::JoinHandle::is_finished) {
        round += 1;
        let (tag, _) = site.get("/admin/v1/policy").await;
        let delta = 0.3 + f64::from(round % 5) / 10.0;
        let (status, answer) = site.patch(&tag.unwrap(), json!({"policy": {"delta": delta}})).await;
        assert_eq!(status, 200, "{answer}");
        changes.push((Instant::now(), answer["revision"].as_u64().unwrap(), delta));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let delta_of = |revision| changes.iter().find(|(_, made, _)| *made == revision).map_or(0.5, |(_, _, delta)| *delta);
    for handle in streams {
        let steps = handle.await.unwrap();
        assert!(!steps.is_empty());
        for step in steps {
            assert_eq!(step["delta"].as_f64().unwrap(), delta_of(step["revision"].as_u64().unwrap()), "{step}");
        }
    }
    let decisions = std::mem::take(&mut *site.decisions.0.lock());
    let used: BTreeSet<_> = decisions.iter().map(|decision| decision.revision).collect();
    assert!(decisions.len() > 50 && used.len() > 1, "{} decisions under {used:?}", decisions.len());
    for (index, decision) in decisions.iter().enumerate() {
        // A change that was answered before this answer's previous step must apply to this step.
        let Some(before) = decisions[..index].iter().rfind(|earlier| earlier.answer == decision.answer) else {
            continue;
        };
        let newest = changes.iter().filter(|(answered, ..)| *answered < before.at).map(|(_, made, _)| *made).max();
        assert!(decision.revision >= newest.unwrap_or(1), "{decision:?} after {newest:?}");
    }
    let mut waits: Vec<_> = changes
        .iter()
        .filter_map(|(answered, made, _)| {
            let first = decisions.iter().find(|decision| decision.revision >= *made)?;
            Some(first.at.saturating_duration_since(*answered))
        })
        .collect();
    waits.sort();
    assert!(!waits.is_empty(), "every change was answered after the last decision");
    println!("from a change's answer to its first use: median {:?} of {}", waits[waits.len() / 2], waits.len());
    let (_, history) = site.get("/admin/v1/policy/history?limit=100000").await;
    let number = |revision: &Value| revision["revision"].as_u64().unwrap();
    assert!(history.as_array().unwrap().windows(2).all(|pair| number(&pair[0]) == number(&pair[1]) + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preset_is_a_model_name_with_a_policy_of_its_own() {
    let site = AdminSite::open().await;
    let set = json!({"presets": [{"name": "careful", "delta": 2}, {"name": "tiny", "route": "draft"}]});
    assert_eq!(site.patch("*", set).await.0, 200);
    let models = site.served.client.get(format!("{}/v1/models", site.served.url)).send().await.unwrap();
    let models: Value = models.json().await.unwrap();
    let names: Vec<_> = models["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["rsd", "tiny", "careful", "draft", "target"]);
    let ask = async |model: &str| {
        let body = json!({"model": model, "prompt": "once upon", "max_tokens": 30, "temperature": 0});
        site.served.complete(&body).await.unwrap()
    };
    assert_eq!(ask("careful").await, ask("target").await);
    assert_eq!(ask("tiny").await, ask("draft").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_route_counts_for_the_next_request() {
    let site = AdminSite::open().await;
    let body = |model: &str| json!({"model": model, "prompt": "once upon", "max_tokens": 30, "temperature": 0});
    let alone = site.served.complete(&body("target")).await.unwrap();
    assert_eq!(site.patch("*", json!({"policy": {"route": "target"}})).await.0, 200);
    assert_eq!(site.served.complete(&body("rsd")).await.unwrap(), alone);
    assert_eq!(site.control.policy().current().revision, 2);
    let (_, status) = site.get("/admin/v1/status").await;
    assert_eq!((&status["route"], &status["may_write"]), (&json!("target"), &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_sends_its_fraction_of_steps_to_the_target() {
    let site = AdminSite::open().await;
    let set = json!({"policy": {"mode": "budget", "target_rate": 0.3, "warm_up": 20}});
    assert_eq!(site.patch("*", set).await.0, 200);
    for seed in 0..12 {
        let body = json!({"model": "rsd", "prompt": "once upon", "max_tokens": 300, "temperature": 1, "seed": seed});
        site.served.complete(&body).await.unwrap();
    }
    let (_, view) = site.get("/admin/v1/policy").await;
    let budget = &view["in_force"]["budget"];
    assert!(budget["decided_steps"].as_u64().unwrap() > 300, "{budget}");
    // The budget's ledger is never off by more than about ten steps.
    let off = (budget["observed_rate"].as_f64().unwrap() - 0.3).abs() * budget["decided_steps"].as_f64().unwrap();
    assert!(off < 10.5, "{budget}");
}

/// A valid change with up to three random mutations: it is truncated, a part is repeated, a byte is changed or
/// removed, or a piece of JSON is inserted.
fn mutated(valid: &str, mut draw: impl FnMut(usize) -> usize) -> Vec<u8> {
    const PIECES: [&str; 10] =
        ["null", "-1", "1e999", "{}", "[", "\"mode\":\"budget\"", ",\"x\":1", "\u{0}", "NaN", "\"presets\":[{}]"];
    let mut bytes = valid.as_bytes().to_vec();
    for _ in 0..draw(4) {
        let at = draw(bytes.len() + 1);
        match draw(5) {
            0 => bytes.truncate(at),
            1 => bytes.extend_from_within(at..),
            2 if at < bytes.len() => bytes[at] = u8::try_from(draw(256)).unwrap(),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            _ => drop(bytes.splice(at..at, PIECES[draw(PIECES.len())].bytes())),
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_bodies_change_nothing_unless_they_are_valid() {
    let site = AdminSite::open().await;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let (mut accepted, mut rejected) = (0, 0);
    for round in 0..10_000 {
        let delta = f64::from(round % 100) / 100.0;
        let valid = [
            json!({"set": {"policy": {"delta": delta, "target_rate": 0.5}}, "why": "fuzz"}),
            json!({"set": {"presets": [{"name": "careful", "delta": delta}], "steps": {"lookahead": 1}}}),
            json!({"set": {"limits": {"max_steps": round + 1}}, "by": "nobody", "persist": false}),
        ];
        let body = mutated(&valid[draw(3)].to_string(), &mut draw);
        let before = site.control.policy().current();
        let request = site.served.client.patch(format!("{}/admin/v1/policy", site.url)).bearer_auth("writer");
        let request = request.header("if-match", "*").header("content-type", "application/json").body(body.clone());
        let status = request.send().await.unwrap().status().as_u16();
        let now = site.control.policy().current();
        let body = String::from_utf8_lossy(&body).into_owned();
        if status == 200 {
            accepted += 1;
            now.settings.policy.validate().unwrap();
        } else {
            rejected += 1;
            assert!(matches!(status, 400 | 422), "{status} for {body}");
            assert_eq!(now, before, "{status} for {body}");
        }
    }
    assert!(accepted > 1000 && rejected > 1000, "{accepted} accepted, {rejected} rejected: too few of one kind");
}
