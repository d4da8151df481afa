//! Several addresses, and addresses that are left alone for a while.

use std::time::Duration;

use serde_json::json;

use super::{
    client, errors, fast, kind, no_retries, post,
    scripted_engine::{EngineAct, ScriptedEngine, json_reply, whole_reply},
    within_bound,
};
use crate::transport::{BreakerSettings, EngineClient, TransportErrorKind, TransportSettings};

const WAIT: Duration = Duration::from_millis(300);

fn breaker(failures: u32) -> BreakerSettings {
    BreakerSettings { failures, first_wait: WAIT, longest_wait: 2 * WAIT }
}

fn usable(client: &EngineClient) -> Vec<bool> {
    client.traffic().endpoints.iter().map(|endpoint| endpoint.usable).collect()
}

#[tokio::test]
async fn requests_go_to_the_second_engine_while_the_first_is_down_and_back_once_it_is_well() {
    let first = ScriptedEngine::start([json_reply(&json!("first"))]).await.unwrap();
    let second = ScriptedEngine::start([json_reply(&json!("second"))]).await.unwrap();
    // No retry waits where another engine is well.
    let minute = Duration::from_secs(60);
    let settings = TransportSettings { breaker: breaker(2), first_wait: minute, longest_wait: minute, ..fast() };
    let client = client(&[&first, &second], settings);
    assert_eq!(client.json(&post()).await.unwrap(), json!("first"));

    first.play([whole_reply(500, &[("retry-after", "3600")], "down")]);
    for _ in 0..4 {
        assert_eq!(within_bound(client.json(&post())).await.unwrap(), json!("second"));
    }
    assert_eq!(usable(&client), [false, true]);
    assert_eq!(first.requests().len(), 3, "an engine that is left alone gets nothing");
    assert_eq!(client.traffic().failovers, 2);
    assert!(client.health().running);

    first.play([json_reply(&json!("first"))]);
    tokio::time::sleep(WAIT + Duration::from_millis(50)).await;
    for _ in 0..2 {
        assert_eq!(client.json(&post()).await.unwrap(), json!("first"));
    }
    assert_eq!(usable(&client), [true, true]);
}

#[tokio::test]
async fn an_engine_that_fails_again_and_again_is_left_alone_with_an_error_at_once_and_then_tried() {
    let engine = ScriptedEngine::start([vec![EngineAct::Reset]]).await.unwrap();
    let client = client(&[&engine], TransportSettings { breaker: breaker(3), ..no_retries() });
    for _ in 0..3 {
        assert!(client.health().running);
        assert_eq!(kind(&client.json(&post()).await.unwrap_err()), "reset");
    }
    assert!(!client.health().running);
    let error = client.json(&post()).await.unwrap_err();
    assert!(matches!(error.kind, TransportErrorKind::Unavailable { after, .. } if after <= WAIT), "{error}");
    assert_eq!(engine.requests().len(), 3);
    assert_eq!(errors(&client), [("reset", 3), ("unavailable", 1)]);

    engine.play([json_reply(&json!(1))]);
    tokio::time::sleep(WAIT + Duration::from_millis(50)).await;
    assert_eq!(client.json(&post()).await.unwrap(), json!(1));
    assert!(client.health().running);
}

#[tokio::test]
async fn one_request_at_a_time_tries_an_engine_that_was_left_alone_however_long_it_takes() {
    let engine = ScriptedEngine::start([whole_reply(500, &[], "")]).await.unwrap();
    let settings = TransportSettings { breaker: breaker(1), reply: 10 * WAIT, ..no_retries() };
    let client = client(&[&engine], settings);
    client.json(&post()).await.unwrap_err();
    tokio::time::sleep(WAIT + Duration::from_millis(50)).await;

    engine.play([vec![EngineAct::Hang]]);
    let request = post();
    let mut probe = Box::pin(client.json(&request));
    assert!(tokio::time::timeout(2 * WAIT, &mut probe).await.is_err(), "the engine hangs");
    assert_eq!(kind(&client.json(&post()).await.unwrap_err()), "unavailable", "the first request still tries");
    assert_eq!(engine.requests().len(), 2);

    // A caller that leaves has learned nothing, so the next request tries at once.
    drop(probe);
    engine.play([json_reply(&json!("well"))]);
    assert_eq!(client.json(&post()).await.unwrap(), json!("well"));
}

#[tokio::test]
async fn a_busy_engine_and_wrong_requests_are_no_reason_to_leave_it_alone() {
    for status in [400, 404, 429, 529] {
        let engine = ScriptedEngine::start([whole_reply(status, &[], "")]).await.unwrap();
        let client = client(&[&engine], TransportSettings { breaker: breaker(1), ..no_retries() });
        for _ in 0..3 {
            client.json(&post()).await.unwrap_err();
        }
        assert!(client.health().running, "{status}");
    }
}
