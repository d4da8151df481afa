//! Bodies of requests: none makes the server panic or answer with a status of its own fault.
#![allow(clippy::unwrap_used)]

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::connect_info::MockConnectInfo,
    http::{Request, header},
};
use rsd_config::{LimitsConfig, control::testing::ControlFixture};
use rsd_core::{pipeline::testing::World, prediction::StepRecorder};
use rsd_fuzz::fuzz;
use rsd_server::{
    AppState,
    admin::{self, AdminState, AdminTokens, AuditLog, RecentTraces},
};
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// What a value of a field may be, and what JSON can go wrong with.
const PIECES: [&[u8]; 24] = [
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"0.5",
    b"\"\"",
    b"[]",
    b"{}",
    b"[",
    b"{\"a\":",
    b",",
    b"\"n\":2,",
    b"\"stream\":true,",
    b"\"logprobs\":3,",
    b"\"echo\":true,",
    b"\"stop\":[\"a\",\"\"],",
    b"\"logit_bias\":{\"3\":7},",
    b"\"rsd\":{\"delta\":0.4,\"trace\":true},",
    b"\"max_tokens\":0,",
    b"\\ud800",
    "\u{202e}\u{0}é".as_bytes(),
    b"\xff\xfe",
    b"<|im_end|>",
];

fn seeds(bodies: &[&str]) -> Vec<Vec<u8>> {
    bodies.iter().map(|body| body.as_bytes().to_vec()).collect()
}

/// Sends a body and reads the whole answer.
fn answer(runtime: &Runtime, router: &Router, request: Request<Body>) -> (u16, Vec<u8>) {
    runtime.block_on(async {
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        (status, to_bytes(response.into_body(), 64 << 20).await.unwrap().to_vec())
    })
}

fn assert_clear(status: u16, answer: &[u8]) {
    assert!(status < 500, "{status}: {}", answer.escape_ascii());
    if status >= 400 {
        let error: Value = serde_json::from_slice(answer).unwrap();
        assert!(error["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
    }
}

#[test]
fn every_body_of_the_openai_api_is_answered_or_refused() {
    let runtime = Runtime::new().unwrap();
    let limits = LimitsConfig { max_tokens: 20, ..LimitsConfig::default() };
    let mut world = World::new(3);
    world.runtime.limits.max_tokens = 20;
    let app = AppState::new(world.rsd(), "rsd".to_owned(), "big".to_owned(), limits);
    let router = rsd_server::router(Arc::new(app), Router::new(), &[], 64 << 10).unwrap();
    let bodies = seeds(&[
        r#"{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"2+2?"}],"model":"rsd"}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}],"stream":true,"seed":1,"n":2}"#,
        r#"{"prompt":"Q: ","model":"target","logprobs":2,"echo":true,"max_tokens":3,"temperature":0.5,"top_p":0.9}"#,
        r#"{"prompt":[[81,58,32],[81]],"max_completion_tokens":4,"stop":"X","frequency_penalty":1.5,"user":"u"}"#,
        r#"{"prompt":["a","b"],"n":2,"best_of":2,"stream":true,"stream_options":{"include_usage":true},"min_p":0.1}"#,
        r#"{"prompt":"a","logit_bias":{"3":-100},"rsd":{"delta":0.25,"weighting":"binary","after_rejection":"auto"}}"#,
    ]);
    fuzz(&bodies, &PIECES, |body| {
        for path in ["/v1/chat/completions", "/v1/completions"] {
            let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
            let (status, answer) = answer(&runtime, &router, request.body(Body::from(body.to_vec())).unwrap());
            assert_clear(status, &answer);
        }
    });
}

#[test]
fn every_change_over_the_admin_api_is_made_or_refused() {
    let runtime = Runtime::new().unwrap();
    let fixture = ControlFixture::new(&[]);
    let rsd = World::new(7).rsd_under(fixture.control.policy().clone());
    let app = AppState::new(rsd, "rsd".to_owned(), "big".to_owned(), LimitsConfig::default());
    let admin = Arc::new(AdminState {
        app: Arc::new(app),
        control: fixture.control.clone(),
        recorder: Arc::new(StepRecorder::new(1 << 10)),
        traces: Arc::new(RecentTraces::new(10, true)),
        tokens: AdminTokens::new(Some("reader"), Some("writer")),
        audit: AuditLog::default(),
        hosts: Vec::new(),
        origins: Vec::new(),
        endpoint: "http://127.0.0.1:1234".to_owned(),
        file: Some(fixture.file.clone()),
    });
    let router = admin::router(admin).layer(MockConnectInfo(SocketAddr::from(([127, 0, 0, 1], 9))));
    let bodies = seeds(&[
        r#"{"set":{"policy":{"delta":0.25,"after_rejection":"auto"}},"reason":"a test","by":"me"}"#,
        r#"{"set":{"steps":{"lookahead":2},"limits":{"max_tokens":100}},"expires_seconds":60}"#,
        r#"{"set":{"presets":[{"name":"fast","delta":0.1}]},"persist":true}"#,
        r#"{"revision":1,"reason":"back"}"#,
        r#"{"set":{"policy":{"mode":"budget","target_rate":0.3}}}"#,
    ]);
    fuzz(&bodies, &PIECES, |body| {
        for (method, path) in [("PATCH", "/admin/v1/policy"), ("POST", "/admin/v1/policy/rollback")] {
            let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost:1235");
            let request = request.header(header::AUTHORIZATION, "Bearer writer").header(header::IF_MATCH, "*");
            let request = request.header(header::CONTENT_TYPE, "application/json");
            let (status, answer) = answer(&runtime, &router, request.body(Body::from(body.to_vec())).unwrap());
            assert_clear(status, &answer);
        }
        assert!(fixture.control.policy().current().settings.policy.validate().is_ok());
    });
}
