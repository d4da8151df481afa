//! Streams of events, whole and broken.

use std::time::Duration;

use serde_json::json;

use super::{
    client, fast, kind, no_retries, outcome, post,
    scripted_engine::{
        EngineAct, EngineScript, ScriptedEngine, stream_chunk, stream_end, stream_event, stream_head, streamed_reply,
    },
    within_bound,
};
use crate::transport::{TimeoutPhase, TransportErrorKind, TransportSettings};

/// Bytes again and again, each soon enough to look alive.
fn drip(bytes: &[u8]) -> EngineScript {
    (0..20).flat_map(|_| [stream_chunk(bytes), EngineAct::Wait(Duration::from_millis(40))]).collect()
}

#[tokio::test]
async fn events_arrive_in_order_and_both_ends_of_a_stream_are_known() {
    let events = [json!({"token": 1}), json!({"token": 2})];
    let scripts = [
        streamed_reply(&events),
        vec![stream_head(), stream_chunk(b": ping\r\n\r\ndata: {\"token\":\r\ndata: 3}\r\n\r\n"), stream_end()],
        vec![stream_head(), stream_end()],
    ];
    let engine = ScriptedEngine::start(scripts).await.unwrap();
    let client = client(&[&engine], no_retries());
    assert_eq!(outcome(&client).await, (events.to_vec(), None));
    assert_eq!(outcome(&client).await, (vec![json!({"token": 3})], None), "no [DONE], lines end with CRLF");
    assert_eq!(outcome(&client).await, (vec![], None), "no events at all");
    assert_eq!((client.traffic().in_flight, client.traffic().first_parts), (0, 3));
}

#[tokio::test]
async fn after_the_first_event_nothing_is_repeated_and_the_error_tells_what_happened() {
    let rest: Vec<(EngineScript, &str)> = vec![
        (vec![EngineAct::Wait(Duration::from_millis(20)), EngineAct::Reset], "reset"),
        (vec![EngineAct::Close], "reset"),
        (vec![EngineAct::Hang], "timeout"),
        // Comments alone are no sign of progress.
        (drip(b": ping\n\n"), "timeout"),
        (drip(b"x"), "timeout"),
        (vec![stream_chunk(b"data: \"\xff\"\n\n"), EngineAct::Hang], "malformed"),
        (vec![stream_event("{no"), EngineAct::Hang], "malformed"),
        (vec![stream_event(&format!("\"{}\"", "x".repeat(5000))), EngineAct::Hang], "too_large"),
        (vec![stream_chunk(&[b'x'; 5000]), EngineAct::Hang], "too_large"),
        (
            vec![
                stream_event(r#"{"error":{"message":"EngineCore died","code":500}}"#),
                stream_event("[DONE]"),
                stream_end(),
            ],
            "event",
        ),
    ];
    for (rest, expected) in rest {
        let script = [vec![stream_head(), stream_event("1")], rest].concat();
        let engine = ScriptedEngine::start([script.clone()]).await.unwrap();
        let client = client(&[&engine], TransportSettings { max_event: 4000, ..fast() });
        let (events, error) = within_bound(outcome(&client)).await;
        let error = error.unwrap_or_else(|| panic!("{script:?}"));
        assert_eq!((events, kind(&error)), (vec![json!(1)], expected), "{script:?}: {error}");
        assert_eq!((engine.requests().len(), client.traffic().in_flight), (1, 0));
        if expected == "event" {
            assert_eq!(
                error.kind,
                TransportErrorKind::Event { status: Some(500), message: "EngineCore died".to_owned() }
            );
        }
        if expected == "timeout" {
            let after = fast().between_events;
            assert_eq!(error.kind, TransportErrorKind::Timeout { phase: TimeoutPhase::NextEvent, after });
        }
    }
}

#[tokio::test]
async fn a_stream_that_ends_without_saying_so_is_not_complete() {
    let cut = vec![stream_head(), stream_event("1"), stream_chunk(b"data: {\"a\":"), stream_end()];
    for (script, complete) in [(streamed_reply(&[json!(1)]), true), (cut, false)] {
        let engine = ScriptedEngine::start([script]).await.unwrap();
        let mut stream = client(&[&engine], fast()).events(&post()).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), json!(1));
        assert!(stream.next().await.is_none());
        assert_eq!(stream.is_complete(), complete);
    }
}

#[tokio::test]
async fn a_slow_stream_lasts_as_long_as_events_come() {
    let slow = |event: u32| [EngineAct::Wait(Duration::from_millis(50)), stream_event(&event.to_string())];
    let script = [vec![stream_head()], (0..12).flat_map(slow).collect(), vec![stream_end()]].concat();
    let engine = ScriptedEngine::start([script]).await.unwrap();
    // 12 events take twice as long as any one of the limits.
    let (events, error) = outcome(&client(&[&engine], fast())).await;
    assert_eq!((events.len(), error), (12, None));
}

#[tokio::test]
async fn a_stream_that_was_received_to_its_end_leaves_its_connection_for_the_next() {
    let engine = ScriptedEngine::start([streamed_reply(&[json!(1)])]).await.unwrap();
    let client = client(&[&engine], fast());
    for _ in 0..5 {
        assert_eq!(outcome(&client).await, (vec![json!(1)], None));
    }
    assert_eq!((engine.requests().len(), engine.connections()), (5, 1));
}

#[tokio::test]
async fn an_event_is_not_lost_when_its_future_is_dropped() {
    let late = |event: &str| [EngineAct::Wait(Duration::from_millis(30)), stream_event(event)];
    let script = [vec![stream_head(), stream_event("0")], late("1").into(), late("2").into(), late("3").into()];
    let engine = ScriptedEngine::start([[script.concat(), vec![EngineAct::Hang]].concat()]).await.unwrap();
    let client = client(&[&engine], fast());
    let mut stream = client.events(&post()).await.unwrap();
    let mut events = Vec::new();
    while events.len() < 4 {
        if let Ok(event) = tokio::time::timeout(Duration::from_millis(7), stream.next()).await {
            events.push(event.unwrap().unwrap());
        }
    }
    assert_eq!(events, [json!(0), json!(1), json!(2), json!(3)]);
}
