use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::connect_info::MockConnectInfo,
    http::{Request, Response, StatusCode, header},
};
use rsd_config::{LimitsConfig, control::testing::ControlFixture};
use rsd_core::pipeline::{
    observe::ObserverFanout,
    testing::{World, block_on},
};
use rsd_protocol::{error::ErrorCode, preview::PolicyPreview, routes, settings::ChangeResult};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::{generated::json_must_be_current, openapi::testing::check_document};

/// The admin API over scripted models.
struct TestSite {
    router: Router,
    admin: Arc<AdminState>,
    world: World,
    _fixture: ControlFixture,
}

impl TestSite {
    fn new() -> Self {
        let fixture = ControlFixture::new(&[]);
        let world = World::new(7);
        let recorder = Arc::new(StepRecorder::new(1 << 16));
        let traces = Arc::new(RecentTraces::new(10, true));
        let mut rsd = world.rsd_under(fixture.control.policy().clone());
        rsd.observer = Arc::new(ObserverFanout(vec![recorder.clone(), traces.clone()]));
        let app = Arc::new(AppState::new(rsd, "rsd".to_owned(), "big".to_owned(), LimitsConfig::default()));
        let admin = Arc::new(AdminState {
            app,
            control: fixture.control.clone(),
            recorder,
            traces,
            tokens: AdminTokens::new(Some("reader"), Some("writer")),
            audit: AuditLog::default(),
            hosts: vec!["ops.example".to_owned()],
            origins: vec!["https://ops.example".to_owned()],
            endpoint: "http://127.0.0.1:1234".to_owned(),
            file: Some(fixture.file.clone()),
        });
        let router = router(admin.clone()).layer(MockConnectInfo(SocketAddr::from(([127, 0, 0, 1], 9))));
        Self { router, admin, world, _fixture: fixture }
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
            world.answer_on(&self.admin.app.rsd).await;
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
async fn every_route_denies_requests_that_lack_what_it_requires() {
    let site = TestSite::new();
    let mut denied = 0;
    for route in super::routes::routes() {
        let endpoint = route.spec;
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
            let response = site.send(request).await;
            assert_eq!(response.status(), status, "{} {path} {code}", endpoint.method);
            assert_eq!(read(response).await["error"]["code"], code);
            let newest = site.admin.audit.recent(1).remove(0);
            assert_eq!((newest.status, newest.path.as_str()), (status, path.as_str()));
            denied += 1;
        }
        assert_eq!(site.admin.control.policy().current().revision, 1, "{} {path}", endpoint.method);
    }
    assert!(denied > 90, "{denied}");
    assert_eq!(site.admin.audit.recent(usize::MAX).len(), denied);
    // The configured names and origins pass.
    let mut request = call("GET", "/admin/v1/policy", "reader", &Value::Null);
    request.headers_mut().insert(header::HOST, "OPS.example:443".parse().unwrap());
    request.headers_mut().insert(header::ORIGIN, "https://ops.example".parse().unwrap());
    assert_eq!(site.send(request).await.status(), 200);
}

#[tokio::test]
async fn a_policy_is_read_changed_and_read_again() {
    let site = TestSite::new();
    let first = site.send(call("GET", "/admin/v1/policy", "reader", &Value::Null)).await;
    let tag = first.headers()[header::ETAG].clone();
    let view = read(first).await;
    assert_eq!((&view["revision"], &view["values"]["policy"]["delta"]), (&json!(1), &json!(0.5)));
    let mut change =
        call("PATCH", "/admin/v1/policy", "writer", &json!({"set": {"policy": {"delta": 0.25}}, "why": "try"}));
    change.headers_mut().insert(header::IF_MATCH, tag.clone());
    let changed = site.send(change).await;
    assert_ne!(changed.headers()[header::ETAG], tag);
    assert_eq!(read(changed).await["revision"], 2);
    let mut late = call("PATCH", "/admin/v1/policy", "writer", &json!({"set": {"policy": {"delta": 0.75}}}));
    late.headers_mut().insert(header::IF_MATCH, tag);
    let late = site.send(late).await;
    assert_eq!(late.status(), 412);
    let late = read(late).await;
    assert_eq!(
        (&late["error"]["code"], &late["error"]["current"]["values"]["policy"]["delta"]),
        (&json!("revision_stale"), &json!(0.25))
    );
    let (_, history) = site.ask("GET", "/admin/v1/policy/history", Value::Null).await;
    assert_eq!(
        (&history[0]["why"], &history[0]["from"], &history[0]["differences"][0]["old"]),
        (&json!("try"), &json!("127.0.0.1:9"), &json!(0.5))
    );
    let (status, _) = site.ask("POST", "/admin/v1/policy/rollback", json!({"revision": 1})).await;
    assert_eq!((status.as_u16(), site.admin.control.policy().current().settings.policy.delta), (200, 0.5));
}

#[tokio::test]
async fn errors_name_what_is_wrong_with_a_request() {
    let site = TestSite::new();
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
        ("GET", "/admin/v1/traces/%ff", Value::Null, 404, "unknown_trace", ""),
        ("GET", "/admin/v1/nothing", Value::Null, 404, "route_not_found", ""),
        ("DELETE", "/admin/v1/policy", Value::Null, 405, "method_not_allowed", ""),
    ] {
        let (found, answer) = site.ask(method, path, body).await;
        let error = &answer["error"];
        assert_eq!((found.as_u16(), error["code"].as_str().unwrap()), (status, code), "{method} {path} {answer}");
        assert_eq!(error["problems"][0]["path"].as_str().unwrap_or_default(), at, "{answer}");
        assert!(error["message"].as_str().unwrap().len() > 10, "{answer}");
    }
    let twice = r#"{"set": {"policy": {"delta": 0.1, "delta": 0.9}}}"#;
    let mut request = call("PATCH", "/admin/v1/policy", "writer", &Value::Null);
    *request.body_mut() = Body::from(twice);
    let response = site.send(request).await;
    assert_eq!(response.status(), 400);
    let answer = read(response).await;
    assert_eq!(answer["error"]["problems"][0]["path"], "set.policy", "{answer}");
    let huge = json!({"set": {}, "why": "x".repeat(100_000)});
    assert_eq!(site.ask("PATCH", "/admin/v1/policy", huge).await.0, 413);
    assert_eq!(site.admin.control.policy().current().revision, 1);
}

/// Predictions from served answers agree with the answers that are served afterwards.
#[test]
fn acceptance_on_later_traffic_is_predicted() {
    block_on(async {
        let site = TestSite::new();
        site.answer(0..1200).await;
        let (_, preview) = site.ask("GET", "/admin/v1/preview?delta=0.2..0.8&step=0.1", Value::Null).await;
        let preview: PolicyPreview = serde_json::from_value(preview).unwrap();
        assert!(preview.basis.answers == 1200 && preview.basis.steps > 3000, "{:?}", preview.basis);
        assert_eq!(preview.curve.len(), 7);
        for (round, point) in preview.curve.iter().enumerate() {
            let body = json!({"set": {"policy": {"delta": point.delta}}});
            site.ask("PATCH", "/admin/v1/policy", body).await;
            let recorder = Arc::new(StepRecorder::new(1 << 16));
            let mut rsd = site.admin.app.rsd.clone();
            rsd.observer = recorder.clone();
            let fresh = (round as u64 + 1) * 10_000;
            for seed in fresh..fresh + 1200 {
                let mut world = site.world.clone();
                world.request.sampling.seed = seed;
                world.answer_on(&rsd).await;
            }
            let policy = site.admin.control.policy().current().settings.policy;
            let seen = recorder.preview(&policy, &[], None).now.unwrap();
            let gap = (seen.acceptance.value - point.acceptance.value).abs();
            assert!(
                gap < 0.03,
                "delta {}: predicted {:?}, observed {:?}",
                point.delta,
                point.acceptance,
                seen.acceptance
            );
        }
    });
}

#[test]
fn a_dry_run_predicts_and_changes_nothing() {
    block_on(async {
        let site = TestSite::new();
        site.answer(0..50).await;
        let body = json!({"set": {"policy": {"delta": 0.9}}});
        let (status, changed) = site.ask("PATCH", "/admin/v1/policy?dry_run=true", body).await;
        let changed: ChangeResult = serde_json::from_value(changed).unwrap();
        let prediction = changed.prediction.unwrap();
        assert_eq!((status.as_u16(), prediction.now.delta, prediction.then.delta), (200, 0.5, 0.9));
        assert!(prediction.then.acceptance.value < prediction.now.acceptance.value);
        assert_eq!(site.admin.control.policy().current().revision, 1);
    });
}

#[test]
fn recent_requests_are_stored_step_by_step() {
    block_on(async {
        let site = TestSite::new();
        site.answer(0..30).await;
        let (_, list) = site.ask("GET", "/admin/v1/traces?limit=5", Value::Null).await;
        assert_eq!(list.as_array().unwrap().len(), 5);
        let id = list[0]["id"].as_str().unwrap();
        let (_, trace) = site.ask("GET", &format!("/admin/v1/traces/{id}"), Value::Null).await;
        assert_eq!(json!(trace["steps"].as_array().unwrap().len()), trace["summary"]["steps"]);
        assert_eq!(trace["summary"]["sources"].as_str().unwrap().len(), trace["steps"].as_array().unwrap().len());
        assert_eq!(site.admin.traces.list(99).len(), 10);
        let (_, status) = site.ask("GET", "/admin/v1/status", Value::Null).await;
        assert_eq!(
            (&status["may_write"], &status["model_names"]),
            (&json!(true), &json!(["rsd", "big", "draft", "target"]))
        );
    });
}

#[tokio::test]
async fn events_report_what_happens() {
    use futures::StreamExt;
    let site = TestSite::new();
    let response = site.send(call("GET", "/admin/v1/events", "reader", &Value::Null)).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut stream = response.into_body().into_data_stream();
    site.ask("PATCH", "/admin/v1/policy", json!({"set": {"policy": {"delta": 0.25}}})).await;
    let mut text = String::new();
    while !text.contains("event: attempt") {
        text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(names, ["hello", "policy", "attempt"]);
    assert!(!text.contains("writer\""), "{text}");
}

#[tokio::test]
async fn the_document_names_exactly_the_routes_that_the_router_answers() {
    let site = TestSite::new();
    let (_, document) = site.ask("GET", routes::OPENAPI, Value::Null).await;
    let specs: Vec<_> = super::routes::routes().into_iter().map(|route| route.spec).collect();
    check_document(&document, &specs);
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let response = site.send(call(method, &path.replace("{id}", "1"), "writer", &Value::Null)).await;
            let (status, code) = (response.status(), response.extensions().get::<ErrorCode>().copied());
            let described = operations.get(method.to_lowercase()).is_some();
            assert_eq!(status != StatusCode::METHOD_NOT_ALLOWED, described, "{method} {path}: {status}");
            assert_ne!(code, Some(ErrorCode::RouteNotFound), "{method} {path}");
        }
    }
}

#[test]
fn the_document_in_the_repository_is_current() {
    json_must_be_current("docs/generated/admin-openapi.json", &super::routes::document());
}
