use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::connect_info::MockConnectInfo,
    http::{Request, Response, StatusCode, header},
};
use rsd_protocol::{live::Changed, preview::Preview, routes};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::{
    config::LimitsConfig,
    control::tests::Desk,
    pipeline::{
        observe::Fanout,
        tests::scripted::{World, block_on},
    },
};

/// The admin API over scripted models.
struct Office {
    router: Router,
    admin: Arc<Admin>,
    world: World,
    _desk: Desk,
}

impl Office {
    fn new() -> Self {
        let desk = Desk::new(&[]);
        let world = World::new(7);
        let recorder = Arc::new(Recorder::new(1 << 16));
        let traces = Arc::new(RecentTraces::new(10, true));
        let mut rsd = world.rsd_under(desk.control.policy().clone());
        rsd.observer = Arc::new(Fanout(vec![recorder.clone(), traces.clone()]));
        let app = Arc::new(App::new(rsd, "rsd".to_owned(), "big".to_owned(), LimitsConfig::default()));
        let admin = Arc::new(Admin {
            app,
            control: desk.control.clone(),
            recorder,
            traces,
            tokens: Tokens::new(Some("reader"), Some("writer")),
            audit: Audit::default(),
            hosts: vec!["ops.example".to_owned()],
            origins: vec!["https://ops.example".to_owned()],
            endpoint: "http://127.0.0.1:1234".to_owned(),
            file: Some(desk.file.clone()),
        });
        let router = router(admin.clone()).layer(MockConnectInfo(SocketAddr::from(([127, 0, 0, 1], 9))));
        Self { router, admin, world, _desk: desk }
    }

    async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let response = self.send(call(method, path, "writer", &body)).await;
        let status = response.status();
        (status, read(response).await)
    }

    /// Answers the world's request under other seeds.
    async fn answer(&self, seeds: std::ops::Range<u64>) {
        for seed in seeds {
            let mut world = self.world.clone();
            world.request.sampling.seed = seed;
            world.tell_by(&self.admin.app.rsd).await;
        }
    }
}

fn call(method: &str, path: &str, token: &str, body: &Value) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost:1235")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::IF_MATCH, "*")
        .body(Body::from(body.to_string()))
        .unwrap()
}

async fn read(response: Response<Body>) -> Value {
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn every_route_turns_away_who_may_not_enter() {
    let office = Office::new();
    let mut denied = 0;
    for endpoint in endpoints() {
        let path = endpoint.path.replace("{id}", "1");
        let body = match endpoint.path {
            routes::POLICY => json!({"set": {"policy": {"delta": 0.1}}}),
            routes::ROLLBACK => json!({"revision": 1}),
            _ => json!({}),
        };
        let writes = endpoint.method != "GET";
        let good = || call(endpoint.method, &path, "writer", &body);
        let with = |name: header::HeaderName, value: &str| {
            let mut request = good();
            request.headers_mut().insert(name, value.parse().unwrap());
            request
        };
        let without = |name: header::HeaderName| {
            let mut request = good();
            request.headers_mut().remove(name);
            request
        };
        let mut attempts = vec![
            (without(header::AUTHORIZATION), 401, "invalid_token"),
            (with(header::AUTHORIZATION, "Bearer nobody"), 401, "invalid_token"),
            (with(header::AUTHORIZATION, "Basic d3JpdGVy"), 401, "invalid_token"),
            (with(header::HOST, "evil.example"), 403, "host_refused"),
            (without(header::HOST), 403, "host_refused"),
            (with(header::ORIGIN, "https://evil.example"), 403, "origin_refused"),
            (with(header::ORIGIN, "null"), 403, "origin_refused"),
        ];
        if writes {
            attempts.push((with(header::AUTHORIZATION, "Bearer reader"), 403, "write_token_required"));
            attempts.push((with(header::CONTENT_TYPE, "text/plain"), 415, "unsupported_media_type"));
        }
        if endpoint.conditional {
            attempts.push((without(header::IF_MATCH), 428, "revision_required"));
        }
        for (request, status, code) in attempts {
            let response = office.send(request).await;
            assert_eq!(response.status(), status, "{} {path} {code}", endpoint.method);
            assert_eq!(read(response).await["error"]["code"], code);
            let newest = office.admin.audit.recent(1).remove(0);
            assert_eq!((newest.status, newest.path.as_str()), (status, path.as_str()));
            denied += 1;
        }
        assert_eq!(office.admin.control.policy().current().revision, 1, "{} {path}", endpoint.method);
    }
    assert!(denied > 90, "{denied}");
    assert_eq!(office.admin.audit.recent(usize::MAX).len(), denied);
    // The names and origins that were configured pass.
    let mut request = call("GET", "/admin/v1/policy", "reader", &Value::Null);
    request.headers_mut().insert(header::HOST, "OPS.example:443".parse().unwrap());
    request.headers_mut().insert(header::ORIGIN, "https://ops.example".parse().unwrap());
    assert_eq!(office.send(request).await.status(), 200);
}

#[tokio::test]
async fn a_policy_is_read_changed_and_read_again() {
    let office = Office::new();
    let first = office.send(call("GET", "/admin/v1/policy", "reader", &Value::Null)).await;
    let tag = first.headers()[header::ETAG].clone();
    let view = read(first).await;
    assert_eq!((&view["revision"], &view["values"]["policy"]["delta"]), (&json!(1), &json!(0.5)));
    let mut change =
        call("PATCH", "/admin/v1/policy", "writer", &json!({"set": {"policy": {"delta": 0.25}}, "why": "try"}));
    change.headers_mut().insert(header::IF_MATCH, tag.clone());
    let changed = office.send(change).await;
    assert_ne!(changed.headers()[header::ETAG], tag);
    assert_eq!(read(changed).await["revision"], 2);
    let mut late = call("PATCH", "/admin/v1/policy", "writer", &json!({"set": {"policy": {"delta": 0.75}}}));
    late.headers_mut().insert(header::IF_MATCH, tag);
    let late = office.send(late).await;
    assert_eq!(late.status(), 412);
    let late = read(late).await;
    assert_eq!(
        (&late["error"]["code"], &late["error"]["current"]["values"]["policy"]["delta"]),
        (&json!("revision_stale"), &json!(0.25))
    );
    let (_, history) = office.ask("GET", "/admin/v1/policy/history", Value::Null).await;
    assert_eq!(
        (&history[0]["why"], &history[0]["from"], &history[0]["differences"][0]["old"]),
        (&json!("try"), &json!("127.0.0.1:9"), &json!(0.5))
    );
    let (status, _) = office.ask("POST", "/admin/v1/policy/rollback", json!({"revision": 1})).await;
    assert_eq!((status.as_u16(), office.admin.control.policy().current().live.policy.delta), (200, 0.5));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let office = Office::new();
    for (method, path, body, status, code, at) in [
        (
            "PATCH",
            "/admin/v1/policy",
            json!({"set": {"policy": {"dleta": 1}}}),
            422,
            "invalid_settings",
            "policy.dleta",
        ),
        ("PATCH", "/admin/v1/policy", json!({"set": {"server": {"port": 1}}}), 422, "invalid_settings", "server.port"),
        ("PATCH", "/admin/v1/policy", json!({"set": 3}), 422, "invalid_settings", "set"),
        ("PATCH", "/admin/v1/policy", json!({"set": {}, "ttl_seconds": 0}), 422, "invalid_settings", "ttl_seconds"),
        ("PATCH", "/admin/v1/policy", json!({"set": {}, "tll": 1}), 400, "invalid_body", "tll"),
        ("PATCH", "/admin/v1/policy?dry-run=true", json!({"set": {}}), 400, "invalid_query", ""),
        ("POST", "/admin/v1/policy/rollback", json!({"revision": 77}), 404, "unknown_revision", ""),
        ("POST", "/admin/v1/policy/rollback", json!({"revision": "1"}), 400, "invalid_body", "revision"),
        ("GET", "/admin/v1/preview?delta=2..1", Value::Null, 400, "invalid_query", "delta"),
        ("GET", "/admin/v1/traces/77", Value::Null, 404, "unknown_trace", ""),
        ("GET", "/admin/v1/nothing", Value::Null, 404, "route_not_found", ""),
        ("DELETE", "/admin/v1/policy", Value::Null, 405, "method_not_allowed", ""),
    ] {
        let (found, answer) = office.ask(method, path, body).await;
        let error = &answer["error"];
        assert_eq!((found.as_u16(), error["code"].as_str().unwrap()), (status, code), "{method} {path} {answer}");
        assert_eq!(error["problems"][0]["path"].as_str().unwrap_or_default(), at, "{answer}");
        assert!(error["message"].as_str().unwrap().len() > 10, "{answer}");
    }
    let huge = json!({"set": {}, "why": "x".repeat(100_000)});
    assert_eq!(office.ask("PATCH", "/admin/v1/policy", huge).await.0, 413);
    assert_eq!(office.admin.control.policy().current().revision, 1);
}

/// Predictions are made from what was served, and what is served afterwards agrees with them.
#[test]
fn acceptance_on_traffic_to_come_is_foreseen() {
    block_on(async {
        let office = Office::new();
        office.answer(0..1200).await;
        let (_, preview) = office.ask("GET", "/admin/v1/preview?delta=0.2..0.8&step=0.1", Value::Null).await;
        let preview: Preview = serde_json::from_value(preview).unwrap();
        assert!(preview.basis.answers == 1200 && preview.basis.steps > 3000, "{:?}", preview.basis);
        assert_eq!(preview.curve.len(), 7);
        for (round, point) in preview.curve.iter().enumerate() {
            let body = json!({"set": {"policy": {"delta": point.delta}}});
            office.ask("PATCH", "/admin/v1/policy", body).await;
            let recorder = Arc::new(Recorder::new(1 << 16));
            let mut rsd = office.admin.app.rsd.clone();
            rsd.observer = recorder.clone();
            let fresh = (round as u64 + 1) * 10_000;
            for seed in fresh..fresh + 1200 {
                let mut world = office.world.clone();
                world.request.sampling.seed = seed;
                world.tell_by(&rsd).await;
            }
            let policy = office.admin.control.policy().current().live.policy;
            let seen = recorder.preview(&policy, crate::policy::keep_probability, &[], None).now.unwrap();
            let gap = (seen.acceptance.value - point.acceptance.value).abs();
            assert!(gap < 0.03, "delta {}: foreseen {:?}, seen {:?}", point.delta, point.acceptance, seen.acceptance);
        }
    });
}

#[test]
fn a_dry_run_foresees_and_changes_nothing() {
    block_on(async {
        let office = Office::new();
        office.answer(0..50).await;
        let body = json!({"set": {"policy": {"delta": 0.9}}});
        let (status, changed) = office.ask("PATCH", "/admin/v1/policy?dry_run=true", body).await;
        let changed: Changed = serde_json::from_value(changed).unwrap();
        let prediction = changed.prediction.unwrap();
        assert_eq!((status.as_u16(), prediction.now.delta, prediction.then.delta), (200, 0.5, 0.9));
        assert!(prediction.then.acceptance.value < prediction.now.acceptance.value);
        assert_eq!(office.admin.control.policy().current().revision, 1);
    });
}

#[test]
fn recent_requests_are_kept_step_by_step() {
    block_on(async {
        let office = Office::new();
        office.answer(0..30).await;
        let (_, list) = office.ask("GET", "/admin/v1/traces?limit=5", Value::Null).await;
        assert_eq!(list.as_array().unwrap().len(), 5);
        let id = list[0]["id"].as_str().unwrap();
        let (_, trace) = office.ask("GET", &format!("/admin/v1/traces/{id}"), Value::Null).await;
        assert_eq!(trace["steps"].as_array().unwrap().len(), trace["summary"]["steps"].as_u64().unwrap() as usize);
        assert_eq!(trace["summary"]["sources"].as_str().unwrap().len(), trace["steps"].as_array().unwrap().len());
        assert_eq!(office.admin.traces.list(99).len(), 10);
        let (_, status) = office.ask("GET", "/admin/v1/status", Value::Null).await;
        assert_eq!(
            (&status["may_write"], &status["model_names"]),
            (&json!(true), &json!(["rsd", "big", "draft", "target"]))
        );
    });
}

#[tokio::test]
async fn events_tell_what_happens() {
    use futures::StreamExt;
    let office = Office::new();
    let response = office.send(call("GET", "/admin/v1/events", "reader", &Value::Null)).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut stream = response.into_body().into_data_stream();
    office.ask("PATCH", "/admin/v1/policy", json!({"set": {"policy": {"delta": 0.25}}})).await;
    let mut text = String::new();
    while !text.contains("event: attempt") {
        text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(names, ["hello", "policy", "attempt"]);
    assert!(!text.contains("writer\""), "{text}");
}
