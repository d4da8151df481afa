//! The admin API beside a real server: changes while answers are being written.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::float_cmp)]

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use mistralrs_rsd::{
    config::{self, TargetRule},
    control::{Control, Sources},
    pipeline::observe::{Event, Fanout, Observer},
    policy::PolicyHandle,
    prediction::Recorder,
    server::{
        App,
        admin::{self, Admin, Audit, RecentTraces, Tokens},
    },
};
use parking_lot::Mutex;
use rsd_tests::{pair, served::Served};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const FILE: &str = "version: 1
roles: {draft: {bundled: draft}, target: {bundled: target}}
policy: {delta: 0.5}
steps: {max_tokens: 64}
limits: {max_tokens: 400, running: 8}
";

/// A verdict as it was given.
#[derive(Debug)]
struct Verdict {
    at: Instant,
    answer: u64,
    revision: u64,
}

/// Notes every verdict.
#[derive(Default)]
struct Verdicts(Mutex<Vec<Verdict>>);

impl Observer for Verdicts {
    fn observe(&self, answer: u64, event: &Event<'_>) {
        if let Event::Judged(judged) = event {
            let verdict = Verdict { at: Instant::now(), answer, revision: judged.policy.revision };
            self.0.lock().push(verdict);
        }
    }
}

struct Site {
    verdicts: Arc<Verdicts>,
    served: Served,
    control: Arc<Control>,
    url: String,
    _folder: tempfile::TempDir,
}

impl Site {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("d.yaml");
        fs::write(&file, FILE).unwrap();
        let loaded = config::load(Some(&file), [], &[], TargetRule::Required).unwrap();
        let limits = loaded.deployment.limits.clone();
        let mut rsd = pair::rsd(&limits).await.unwrap();
        rsd.policy = Arc::new(PolicyHandle::new(loaded.deployment.live()).unwrap());
        let verdicts = Arc::new(Verdicts::default());
        let recorder = Arc::new(Recorder::new(4096));
        let traces = Arc::new(RecentTraces::new(50, true));
        rsd.observer = Arc::new(Fanout(vec![recorder.clone(), traces.clone(), verdicts.clone()]));
        let sources = Sources {
            file: Some(file.clone()),
            environment: Vec::new(),
            overrides: Vec::new(),
            target: TargetRule::Required,
        };
        let control = Control::new(rsd.policy.clone(), loaded, sources, 1000, |_| {});
        let app = Arc::new(App::new(rsd, "rsd".to_owned(), "tiny".to_owned(), limits));
        let served = Served::run(app.clone()).await.unwrap();
        let admin = Admin {
            app,
            control: control.clone(),
            recorder,
            traces,
            tokens: Tokens::new(Some("reader"), Some("writer")),
            audit: Audit::default(),
            hosts: Vec::new(),
            origins: Vec::new(),
            endpoint: served.url.clone(),
            file: Some(file),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = admin::router(Arc::new(admin)).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { verdicts, served, control, url, _folder: folder }
    }

    async fn get(&self, path: &str) -> (Option<String>, Value) {
        let answer = self.served.client.get(format!("{}{path}", self.url)).bearer_auth("reader").send().await.unwrap();
        let tag = answer.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
        (tag, answer.json().await.unwrap())
    }

    /// Changes settings; the status and the answer.
    async fn patch(&self, tag: &str, set: Value) -> (u16, Value) {
        let request = self.served.client.patch(format!("{}/admin/v1/policy", self.url));
        let answer =
            request.bearer_auth("writer").header("if-match", tag).json(&json!({"set": set})).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

/// The steps of one streamed answer, which must end well.
async fn stream(site: &Site, seed: u64) -> Vec<Value> {
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
    let site = Arc::new(Site::open().await);
    let streams: Vec<_> = (0..8)
        .map(|seed| {
            let site = site.clone();
            tokio::spawn(async move { stream(&site, seed).await })
        })
        .collect();
    // Changes until all streams are over: when each was answered, and the revision it made.
    let (mut changes, mut round) = (Vec::new(), 0);
    while !streams.iter().all(tokio::task::JoinHandle::is_finished) {
        round += 1;
        let (tag, _) = site.get("/admin/v1/policy").await;
        let delta = 0.3 + f64::from(round % 5) / 10.0;
        let (status, changed) = site.patch(&tag.unwrap(), json!({"policy": {"delta": delta}})).await;
        assert_eq!(status, 200, "{changed}");
        changes.push((Instant::now(), changed["revision"].as_u64().unwrap(), delta));
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
    let verdicts = site.verdicts.0.lock();
    let used: BTreeSet<_> = verdicts.iter().map(|verdict| verdict.revision).collect();
    assert!(verdicts.len() > 50 && used.len() > 1, "{} verdicts under {used:?}", verdicts.len());
    for (index, verdict) in verdicts.iter().enumerate() {
        // What was answered before this answer's step before must judge this one.
        let Some(before) = verdicts[..index].iter().rfind(|earlier| earlier.answer == verdict.answer) else { continue };
        let newest = changes.iter().filter(|(answered, ..)| *answered < before.at).map(|(_, made, _)| *made).max();
        assert!(verdict.revision >= newest.unwrap_or(1), "{verdict:?} after {newest:?}");
    }
    let mut waits: Vec<_> = changes
        .iter()
        .filter_map(|(answered, made, _)| {
            let first = verdicts.iter().find(|verdict| verdict.revision >= *made)?;
            Some(first.at.saturating_duration_since(*answered))
        })
        .collect();
    waits.sort();
    assert!(!waits.is_empty(), "no change was answered before the last verdict");
    println!("from a change's answer to its first use: median {:?} of {}", waits[waits.len() / 2], waits.len());
    drop(verdicts);
    let (_, history) = site.get("/admin/v1/policy/history?limit=100000").await;
    let number = |revision: &Value| revision["revision"].as_u64().unwrap();
    assert!(history.as_array().unwrap().windows(2).all(|pair| number(&pair[0]) == number(&pair[1]) + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preset_is_a_model_name_with_a_policy_of_its_own() {
    let site = Site::open().await;
    let set = json!({"presets": [{"name": "careful", "delta": 2}, {"name": "tiny", "answers": "draft"}]});
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
async fn the_switch_counts_for_the_next_request() {
    let site = Site::open().await;
    let body = |model: &str| json!({"model": model, "prompt": "once upon", "max_tokens": 30, "temperature": 0});
    let alone = site.served.complete(&body("target")).await.unwrap();
    assert_eq!(site.patch("*", json!({"policy": {"answers": "target"}})).await.0, 200);
    assert_eq!(site.served.complete(&body("rsd")).await.unwrap(), alone);
    assert_eq!(site.control.policy().current().revision, 2);
    let (_, status) = site.get("/admin/v1/status").await;
    assert_eq!((&status["answers"], &status["may_write"]), (&json!("target"), &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_sends_its_share_to_the_target() {
    let site = Site::open().await;
    let set = json!({"policy": {"mode": "budget", "gamma": 0.3, "warm_up": 20}});
    assert_eq!(site.patch("*", set).await.0, 200);
    for seed in 0..12 {
        let body = json!({"model": "rsd", "prompt": "once upon", "max_tokens": 300, "temperature": 1, "seed": seed});
        site.served.complete(&body).await.unwrap();
    }
    let (_, view) = site.get("/admin/v1/policy").await;
    let budget = &view["in_force"]["budget"];
    assert!(budget["judged"].as_u64().unwrap() > 300, "{budget}");
    // The account is never off by more than about ten steps.
    let off = (budget["realised"].as_f64().unwrap() - 0.3).abs() * budget["judged"].as_f64().unwrap();
    assert!(off < 10.5, "{budget}");
}

/// Bytes that are nearly a change: cut, doubled, with other bytes, with pieces of settings put in anywhere.
fn nearly(valid: &str, mut draw: impl FnMut(usize) -> usize) -> Vec<u8> {
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
    let site = Site::open().await;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let (mut taken, mut refused) = (0, 0);
    for round in 0..10_000 {
        let delta = f64::from(round % 100) / 100.0;
        let valid = [
            json!({"set": {"policy": {"delta": delta, "gamma": 0.5}}, "why": "fuzz"}),
            json!({"set": {"presets": [{"name": "careful", "delta": delta}], "steps": {"lookahead": 1}}}),
            json!({"set": {"limits": {"max_steps": round + 1}}, "by": "nobody", "persist": false}),
        ];
        let body = nearly(&valid[draw(3)].to_string(), &mut draw);
        let before = site.control.policy().current();
        let request = site.served.client.patch(format!("{}/admin/v1/policy", site.url)).bearer_auth("writer");
        let request = request.header("if-match", "*").header("content-type", "application/json").body(body.clone());
        let status = request.send().await.unwrap().status().as_u16();
        let now = site.control.policy().current();
        let body = String::from_utf8_lossy(&body).into_owned();
        if status == 200 {
            taken += 1;
            now.live.policy.validate().unwrap();
        } else {
            refused += 1;
            assert!(matches!(status, 400 | 422), "{status} for {body}");
            assert_eq!(now, before, "{status} for {body}");
        }
    }
    assert!(taken > 1000 && refused > 1000, "{taken} taken, {refused} refused: not a test of both");
}
