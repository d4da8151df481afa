//! Requests and replies of an engine that is well, its connections, and `Retry-After`.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    client, errors, fast, kind, no_retries, post,
    scripted_engine::{EngineAct, ScriptedEngine, json_reply, whole_reply},
};
use crate::transport::{EngineClient, EngineRequest, TransportErrorKind, TransportSettings};

const OK: &str = r#"{"ok":true}"#;

#[tokio::test]
async fn a_request_carries_key_headers_and_body_and_its_reply_is_parsed() {
    let engine = ScriptedEngine::start([json_reply(&json!({"text": "é"}))]).await.unwrap();
    let urls = vec![format!("{}/base/", engine.url())];
    let settings = TransportSettings { urls, key: Some("k3y".to_owned()), ..fast() };
    assert!(!format!("{settings:?}").contains("k3y"));
    let client = EngineClient::new(settings).unwrap();
    let request = EngineRequest { headers: vec![("x-session-id", "s 1".to_owned())], ..post() };
    assert_eq!(client.json(&request).await.unwrap(), json!({"text": "é"}));
    let get = EngineRequest { body: None, path: "/v1/models", headers: Vec::new() };
    client.json(&get).await.unwrap();

    let [first, second] = engine.requests().try_into().unwrap();
    assert_eq!(first.line, "POST /base/v1/completions HTTP/1.1");
    assert_eq!(first.body, br#"{"prompt":[1,2]}"#);
    for (name, value) in
        [("authorization", "Bearer k3y"), ("x-session-id", "s 1"), ("content-type", "application/json")]
    {
        assert_eq!(first.header(name), Some(value), "{name}");
    }
    assert_eq!(second.line, "GET /base/v1/models HTTP/1.1");
    assert_eq!(engine.connections(), 1, "the connection was used again");
}

#[tokio::test]
async fn a_key_that_http_does_not_allow_is_an_error_of_the_settings_and_is_not_shown() {
    let engine = ScriptedEngine::start([json_reply(&json!(1))]).await.unwrap();
    let client = client(&[&engine], TransportSettings { key: Some("s3cret\n".to_owned()), ..fast() });
    let error = client.json(&post()).await.unwrap_err();
    assert_eq!(kind(&error), "setup", "{error}");
    assert!(!format!("{error} {error:?}").contains("s3cret"));
    assert_eq!((client.traffic().retries, engine.requests().len()), (0, 0));
}

#[tokio::test]
async fn headers_of_the_settings_go_with_every_request_replace_none_of_the_clients_own_and_are_not_shown() {
    let engine = ScriptedEngine::start([json_reply(&json!(1))]).await.unwrap();
    let headers = [("X-Tenant", "s3cret"), ("x-session-id", "s3cret"), ("Content-Type", "text/s3cret")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let settings = TransportSettings { urls: vec![engine.url()], headers, ..fast() };
    assert!(!format!("{settings:?}").contains("s3cret"));
    let client = EngineClient::new(settings).unwrap();
    client.json(&EngineRequest { headers: vec![("x-session-id", "s 1".to_owned())], ..post() }).await.unwrap();
    client.json(&EngineRequest { body: None, path: "/v1/models", headers: Vec::new() }).await.unwrap();
    let [first, second] = engine.requests().try_into().unwrap();
    for (name, value) in [("x-tenant", "s3cret"), ("x-session-id", "s 1"), ("content-type", "application/json")] {
        let values: Vec<_> = first.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value).collect();
        assert_eq!(values, [value], "{name}");
    }
    assert_eq!(second.header("x-tenant"), Some("s3cret"));

    for (name, value) in [("x-tenant", "s3cret\r\nx-other: 1"), ("x tenant", "s3cret")] {
        let headers = vec![(name.to_owned(), value.to_owned())];
        let settings = TransportSettings { urls: vec![engine.url()], headers, ..fast() };
        let error = EngineClient::new(settings).err().unwrap();
        assert_eq!(kind(&error), "setup");
        assert!(error.to_string().contains(name) && !format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn a_connection_that_the_engine_closed_while_idle_costs_no_retry_and_does_not_count_as_a_failure() {
    // The second request arrives on the first one's connection and is answered with its end.
    let scripts = [whole_reply(200, &[], OK), vec![EngineAct::Reset], whole_reply(200, &[], OK)];
    let engine = ScriptedEngine::start(scripts).await.unwrap();
    let mut settings = no_retries();
    settings.breaker.failures = 1;
    let client = client(&[&engine], settings);
    for _ in 0..2 {
        assert_eq!(client.json(&post()).await.unwrap(), json!({"ok": true}));
    }
    assert_eq!((engine.requests().len(), engine.connections()), (3, 2));
    assert!(client.health().running);

    // It happens once: an engine that goes on like this is broken.
    engine.play([vec![EngineAct::Reset]]);
    assert_eq!(kind(&client.json(&post()).await.unwrap_err()), "reset");
    assert_eq!(engine.requests().len(), 5);
    assert!(!client.health().running);
}

#[tokio::test]
async fn a_connection_that_is_closed_after_each_reply_is_not_used_again() {
    let closes = [whole_reply(200, &[], OK), vec![EngineAct::Close]].concat();
    let engine = ScriptedEngine::start([closes]).await.unwrap();
    let client = client(&[&engine], no_retries());
    for _ in 0..5 {
        assert_eq!(client.json(&post()).await.unwrap(), json!({"ok": true}));
    }
    assert_eq!(engine.connections(), 5);
}

#[tokio::test]
async fn a_connection_that_nobody_accepts_ends_in_its_time_out() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Fill the queue of the system until it ignores further connections.
    let mut queued = Vec::new();
    let brief = Duration::from_millis(100);
    while let Ok(connection) = tokio::time::timeout(brief, tokio::net::TcpStream::connect(address)).await {
        queued.push(connection.unwrap());
        assert!(queued.len() < 100, "the queue has no end");
    }
    let urls = vec![format!("http://{address}")];
    let client = EngineClient::new(TransportSettings { urls, connect: brief, ..fast() }).unwrap();
    let error = super::within_bound(client.json(&post())).await.unwrap_err();
    assert!(error.to_string().contains("timed out"), "{error}");
    assert_eq!(errors(&client), [("connect", 3)]);
}

#[tokio::test]
async fn a_refused_connection_is_reported_with_what_to_do() {
    let engine = ScriptedEngine::start([]).await.unwrap();
    let client = client(&[&engine], fast());
    engine.stop();
    // The listener closes when its task ends.
    while tokio::net::TcpStream::connect(engine.address()).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let error = super::within_bound(client.json(&post())).await.unwrap_err().to_string();
    assert!(error.contains("refused") && error.contains("is the engine running there"), "{error}");
    assert_eq!((errors(&client), client.traffic().retries), (vec![("connect", 3)], 2));
}

#[tokio::test]
async fn retry_after_is_waited_for_up_to_the_limit_and_beyond_it_the_caller_decides() {
    let scripts = [whole_reply(429, &[("retry-after", "1")], ""), whole_reply(200, &[], OK)];
    let engine = ScriptedEngine::start(scripts).await.unwrap();
    let client = client(&[&engine], fast());
    let began = Instant::now();
    client.json(&post()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));

    engine.play([whole_reply(503, &[("retry-after", "3600")], "full")]);
    let error = client.json(&post()).await.unwrap_err();
    let retry_after = Some(Duration::from_secs(3600));
    assert_eq!(error.kind, TransportErrorKind::Status { status: 503, message: "full".to_owned(), retry_after });
    assert_eq!(engine.requests().len(), 3);
}

#[tokio::test]
async fn the_body_of_an_error_that_never_ends_delays_its_status_for_a_moment_only() {
    let head = "HTTP/1.1 400 Bad Request\r\ncontent-length: 100\r\n\r\ntoo long a prompt";
    let engine = ScriptedEngine::start([vec![EngineAct::Send(head.into()), EngineAct::Hang]]).await.unwrap();
    let client = client(&[&engine], TransportSettings { reply: Duration::from_secs(20), ..fast() });
    let began = Instant::now();
    let error = client.json(&post()).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(10));
    let message = "too long a prompt".to_owned();
    assert_eq!(error.kind, TransportErrorKind::Status { status: 400, message, retry_after: None });

    engine.play([whole_reply(400, &[], &"too long ".repeat(20_000))]);
    let error = client.json(&post()).await.unwrap_err();
    assert!(error.to_string().contains("too long too long"), "{error}");
}

#[tokio::test]
async fn an_outage_gets_few_retries_beyond_its_requests() {
    let engine = ScriptedEngine::start([whole_reply(503, &[], "")]).await.unwrap();
    let client = client(&[&engine], TransportSettings { first_wait: Duration::from_millis(1), ..fast() });
    for _ in 0..50 {
        client.json(&post()).await.unwrap_err();
    }
    let traffic = client.traffic();
    assert_eq!(traffic.requests, 50);
    // Ten at once, and one for five requests.
    assert!((10..=20).contains(&traffic.retries), "{traffic:?}");
    assert_eq!(engine.requests().len() as u64, 50 + traffic.retries);
}
