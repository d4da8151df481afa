mod completions;
mod strict_reader;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, header},
};
use proptest::{collection::vec, prelude::*};
use rsd_config::LimitsConfig;
use rsd_core::pipeline::{roles::ModelHealth, testing::World};
use rsd_protocol::preview::UnitCosts;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::routes::{document, router, routes};
use crate::{AppState, generated::json_must_be_current, metrics::Metrics, openapi::testing::check_document};

fn app(world: &World) -> AppState {
    AppState::new(world.rsd(), "rsd".to_owned(), "big".to_owned(), LimitsConfig::default())
}

fn serve(app: AppState) -> Router {
    let mistralrs = Router::new().route("/v1/system/info", axum::routing::get(|| async { "{}" }));
    router(Arc::new(app), mistralrs, &[], 64 << 10).unwrap()
}

async fn send(router: &Router, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
    let response = router.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

#[tokio::test]
async fn the_document_names_exactly_the_routes_that_the_router_answers() {
    for with_metrics in [true, false] {
        let world = World::new(0);
        let metrics = Metrics::new(&world.rsd(), UnitCosts::default).unwrap();
        let router = serve(app(&world).with_metrics(with_metrics.then(|| Arc::new(metrics))));
        let (status, document) = send(&router, "GET", "/openapi.json", &Value::Null).await;
        assert_eq!(status, 200);
        let specs: Vec<_> = routes(Router::new(), with_metrics).into_iter().map(|route| route.spec).collect();
        check_document(&document, &specs);
        let paths = document["paths"].as_object().unwrap();
        assert_eq!(paths.contains_key("/metrics"), with_metrics);
        for (path, operations) in paths {
            for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                let filled = path.replace("{id}", "rsd");
                let (status, answer) = send(&router, method.as_str(), &filled, &json!({})).await;
                let described = operations.get(method.as_str().to_lowercase()).is_some();
                assert_eq!(status != StatusCode::METHOD_NOT_ALLOWED, described, "{method} {path}: {status} {answer}");
                assert_ne!(status, StatusCode::NOT_FOUND, "{method} {path}");
            }
        }
    }
}

#[test]
fn the_document_in_the_repository_is_current() {
    json_must_be_current("docs/generated/openapi.json", &document(true));
}

#[tokio::test]
async fn an_origin_that_is_none_is_named() {
    let app = Arc::new(app(&World::new(0)));
    let error = router(app, Router::new(), &["a\nb".to_owned()], 1).unwrap_err();
    assert!(error.to_string().starts_with("server.cors_origins: `a\nb` is not an origin"), "{error}");
}

/// The defaults with these origins, if the checks accept them.
fn accepts(origins: &[String]) -> bool {
    let role = rsd_config::RoleConfig { bundled: Some("draft".to_owned()), ..Default::default() };
    let deployment = rsd_config::Deployment {
        version: 1,
        roles: rsd_config::ModelRoles { draft: role.clone(), target: Some(role) },
        reward: rsd_config::RewardConfig::default(),
        policy: rsd_protocol::policy::PolicyConfig::default(),
        presets: Vec::new(),
        steps: rsd_config::StepsConfig::default(),
        limits: LimitsConfig::default(),
        server: rsd_config::ServerConfig { cors_origins: origins.to_vec(), ..Default::default() },
        admin: rsd_config::AdminConfig::default(),
    };
    deployment.validate(rsd_config::TargetRule::Required).is_ok()
}

fn origin() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        Just("null".to_owned()),
        "[a-z*]{1,8}(://)?[ -~]{0,12}",
        "https?://[a-z*.:0-9/]{1,20}",
        "https?://\\PC{1,6}",
        "\\PC{0,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A deployment must not fail after its models are loaded for something that its check has seen.
    #[test]
    fn every_list_of_origins_that_passes_the_check_makes_a_router(origins in vec(origin(), 0..4)) {
        if accepts(&origins) {
            let world = World::new(0);
            prop_assert!(router(Arc::new(app(&world)), Router::new(), &origins, 1024).is_ok(), "{:?}", origins);
        }
    }
}

#[tokio::test]
async fn a_preflight_allows_every_header_that_a_browser_asks_for_and_no_other_page() {
    let origins = ["http://localhost:5173".to_owned()];
    let router = router(Arc::new(app(&World::new(0))), Router::new(), &origins, 1024).unwrap();
    // What the official JavaScript client sends.
    let asked =
        "authorization,content-type,x-stainless-lang,x-stainless-os,x-stainless-retry-count,x-stainless-timeout";
    for (origin, allowed) in [("http://localhost:5173", true), ("http://localhost:5174", false)] {
        let request = Request::options("/v1/chat/completions")
            .header(header::ORIGIN, origin)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, asked);
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let named = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let page = named(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        assert_eq!(page.as_deref(), allowed.then_some(origin));
        if allowed {
            let headers = named(header::ACCESS_CONTROL_ALLOW_HEADERS).unwrap().to_ascii_lowercase();
            for header in asked.split(',') {
                assert!(headers.split(',').any(|name| name.trim() == header), "{header} is not in {headers}");
            }
        }
    }
}

#[tokio::test]
async fn a_star_allows_every_web_page() {
    let origins = ["https://one.example".to_owned(), "*".to_owned()];
    assert!(accepts(&origins) && accepts(&["tauri://localhost".to_owned()]) && !accepts(&["https://a/b".to_owned()]));
    let router = router(Arc::new(app(&World::new(0))), Router::new(), &origins, 1024).unwrap();
    let request = Request::get("/health").header(header::ORIGIN, "https://other.example").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
}

#[tokio::test]
async fn a_stream_that_has_not_begun_when_the_server_stops_gets_503() {
    let app = Arc::new(app(&World::new(3)).holding_every_place().await);
    let router = router(app.clone(), Router::new(), &[], 1024).unwrap();
    let body = json!({"prompt": "hi", "stream": true});
    let asked = tokio::spawn(async move { send(&router, "POST", "/v1/completions", &body).await });
    while app.admission.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    app.stopping.cancel();
    let (status, answer) = asked.await.unwrap();
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (503, &json!("shutting_down")), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_waits_for_long_begins_and_then_says_why_it_ends() {
    let app = Arc::new(app(&World::new(3)).holding_every_place().await);
    let router = router(app.clone(), Router::new(), &[], 1024).unwrap();
    let request = Request::post("/v1/completions").header(header::CONTENT_TYPE, "application/json");
    let request = request.body(Body::from(r#"{"prompt": "hi", "stream": true}"#)).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let stop = app.stopping.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(35)).await;
        stop.cancel();
    });
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(text.lines().filter(|line| *line == ":").count(), 3, "a comment every 10 seconds: {text}");
    let events: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert!(events.len() == 2 && events[0].contains(r#""code":"shutting_down""#) && events[1] == "[DONE]", "{text}");
}

#[tokio::test]
async fn a_full_queue_refuses_a_body_without_parsing_it() {
    let limits = LimitsConfig { waiting: 0, ..LimitsConfig::default() };
    let world = World::new(3);
    let app = AppState::new(world.rsd(), "rsd".to_owned(), "big".to_owned(), limits).holding_every_place().await;
    let router = router(Arc::new(app), Router::new(), &[], 1024).unwrap();
    let request = Request::post("/v1/completions").header(header::CONTENT_TYPE, "application/json");
    let response = router.oneshot(request.body(Body::from("not JSON")).unwrap()).await.unwrap();
    assert_eq!(response.status(), 429);
    assert!(response.headers().contains_key(header::RETRY_AFTER));
}

impl AppState {
    /// This server with all its requests in progress, for ever.
    async fn holding_every_place(self) -> Self {
        for _ in 0..self.limits.running {
            std::mem::forget(self.admission.enter().unwrap().run().await.unwrap());
        }
        self
    }
}

#[tokio::test]
async fn answers_have_the_formats_of_openai() {
    let router = serve(app(&World::new(3)));
    let chat = json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}], "seed": -1,
        "rsd": {"trace": true}});
    let (status, answer) = send(&router, "POST", "/v1/chat/completions", &chat).await;
    assert_eq!((status.as_u16(), &answer["object"]), (200, &json!("chat.completion")), "{answer}");
    assert_eq!(answer["choices"][0]["message"]["role"], "assistant");
    assert!(answer["choices"][0]["message"]["content"].is_string() && answer["choices"][0]["logprobs"].is_null());
    assert!(["stop", "length"].contains(&answer["choices"][0]["finish_reason"].as_str().unwrap()));
    assert!(answer["usage"]["total_tokens"].as_u64().unwrap() > 0);
    assert_eq!(answer["rsd"]["choices"].as_array().unwrap().len(), 1);
    let text = json!({"prompt": "hi", "model": "target", "logprobs": 2, "n": 2});
    let (status, answer) = send(&router, "POST", "/v1/completions", &text).await;
    assert_eq!((status.as_u16(), &answer["object"]), (200, &json!("text_completion")), "{answer}");
    assert_eq!((answer["choices"].as_array().unwrap().len(), answer.get("rsd")), (2, None));
    let tokens = |part: &str| answer["choices"][1]["logprobs"][part].as_array().unwrap().len();
    assert_eq!((tokens("tokens"), tokens("tokens")), (tokens("token_logprobs"), tokens("top_logprobs")));
}

#[tokio::test]
async fn one_model_is_found_by_its_name_and_no_other_is() {
    let mut app = app(&World::new(0));
    app.names.target = "org/big".to_owned();
    let router = serve(app);
    let (_, list) = send(&router, "GET", "/v1/models", &Value::Null).await;
    for model in list["data"].as_array().unwrap() {
        let id = model["id"].as_str().unwrap();
        for path in [format!("/v1/models/{id}"), format!("/v1/models/{}", id.replace('/', "%2F"))] {
            assert_eq!(send(&router, "GET", &path, &Value::Null).await, (StatusCode::OK, model.clone()), "{path}");
        }
    }
    for (method, path, status, code) in [
        ("GET", "/v1/models/nosuch", 404, "model_not_found"),
        ("GET", "/v1/models/rsd/", 404, "model_not_found"),
        ("GET", "/v1/models/status", 404, "route_disabled"),
        ("POST", "/v1/models/unload", 404, "route_disabled"),
        ("DELETE", "/v1/models/rsd", 405, "method_not_allowed"),
    ] {
        let (found, answer) = send(&router, method, path, &Value::Null).await;
        assert_eq!((found.as_u16(), &answer["error"]["code"]), (status, &json!(code)), "{method} {path}: {answer}");
    }
}

#[tokio::test]
async fn what_the_server_knows_is_applied_to_a_request() {
    let router = serve(app(&World::new(3)));
    for (extra, status, code) in [
        (json!({"model": "gpt"}), 404, "model_not_found"),
        (json!({"n": 1000}), 400, "invalid_value"),
        (json!({"max_tokens": 0}), 400, "invalid_value"),
        (json!({"prompt": [81, 70_000]}), 400, "invalid_prompt"),
        (json!({"logprobs": 1}), 400, "logprobs_unsupported"),
        (json!({"logprobs": 1, "model": "draft", "rsd": {"enabled": true}}), 200, ""),
        (json!({"logprobs": 1, "rsd": {"enabled": false}}), 200, ""),
        (json!({"rsd": {"delta": 7}}), 400, "invalid_value"),
        (json!({"rsd": {"detla": 0.5}}), 400, "unknown_parameter"),
        (json!({"tools": [{}]}), 400, "unsupported_parameter"),
        (json!({"tools": [], "user": "me", "echo": false}), 200, ""),
        (json!({"best_of": 1, "n": 1, "suffix": ""}), 200, ""),
        (json!({"best_of": 3}), 400, "unsupported_parameter"),
        (json!({"stream": null, "stream_options": {"include_usage": null}, "rsd": {"trace": null}}), 200, ""),
        (json!({"temperature": 0, "top_p": 0}), 200, ""),
        (json!({"temperature": 1, "top_p": 0}), 200, ""),
    ] {
        let mut body = json!({"prompt": "hi"});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let (found, answer) = send(&router, "POST", "/v1/completions", &body).await;
        assert_eq!((found.as_u16(), answer["error"]["code"].as_str().unwrap_or_default()), (status, code), "{answer}");
    }
}

#[tokio::test]
async fn the_server_is_not_ready_while_the_engine_of_a_model_does_not_run() {
    let world = World::new(0);
    let router = serve(app(&world));
    let ready = async || {
        let request = Request::builder().uri("/ready").body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        (status, String::from_utf8(to_bytes(response.into_body(), 100).await.unwrap().to_vec()).unwrap())
    };
    assert_eq!(ready().await, (200, "ready".to_owned()));
    world.draft.health.lock().running = false;
    assert_eq!(ready().await, (503, "down: draft".to_owned()));
    world.target.health.lock().running = false;
    assert_eq!(ready().await, (503, "down: draft, target".to_owned()));
    *world.draft.health.lock() = ModelHealth::default();
    *world.target.health.lock() = ModelHealth { running: true, deaths: 1 };
    assert_eq!(ready().await, (200, "ready".to_owned()));
}
