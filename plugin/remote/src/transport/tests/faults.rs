//! Every fault that an engine or its network can have before the first event or the end of a whole reply.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::{
    client, errors, fast, kind, no_retries, outcome, post,
    scripted_engine::{
        EngineAct, EngineScript, ScriptedEngine, json_reply, stream_chunk, stream_end, stream_event, stream_head,
        streamed_reply, whole_reply,
    },
    within_bound,
};
use crate::transport::TransportSettings;

fn send(text: &str) -> EngineAct {
    EngineAct::Send(text.as_bytes().to_vec())
}

fn slow_drip(head: &str) -> EngineScript {
    let byte = || [EngineAct::Wait(Duration::from_millis(40)), send("1")];
    [vec![send(head)], (0..20).flat_map(|_| byte()).collect()].concat()
}

/// Each fault, and the kind of error that it ends in if it lasts.
fn lasting_faults() -> Vec<(&'static str, EngineScript, &'static str)> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let begun = || send(&format!("{head}content-length: 100\r\n\r\n{{\"a\":"));
    let pause = EngineAct::Wait(Duration::from_millis(20));
    let full = r#"{"object":"error","message":"The request queue is full."}"#;
    let redirect = whole_reply(307, &[("location", "http://other/?key=s3cret")], "");
    vec![
        ("reset before the head", vec![EngineAct::Reset], "reset"),
        ("closed before the head", vec![EngineAct::Close], "reset"),
        ("reset within the head", vec![send("HTTP/1.1 200 OK\r\nconte"), EngineAct::Reset], "reset"),
        ("closed within the head", vec![send("HTTP/1.1 200 OK\r\nconte"), EngineAct::Close], "reset"),
        ("closed within the body", vec![begun(), EngineAct::Close], "reset"),
        ("reset within the body", vec![begun(), pause, EngineAct::Reset], "reset"),
        (
            "a chunked body without its end",
            vec![send(&format!("{head}transfer-encoding: chunked\r\n\r\n5\r\n{{\"a\":")), EngineAct::Close],
            "reset",
        ),
        (
            "a chunk size that is no number",
            vec![send(&format!("{head}transfer-encoding: chunked\r\n\r\nzz\r\n")), EngineAct::Close],
            "malformed",
        ),
        ("no HTTP", vec![send("SSH-2.0-OpenSSH_9.2\r\n"), EngineAct::Close], "malformed"),
        ("a slow drip", slow_drip(&format!("{head}content-length: 100\r\n\r\n")), "timeout"),
        ("accepts and says nothing", vec![EngineAct::Hang], "timeout"),
        (
            "a head and then nothing",
            vec![send(&format!("{head}content-length: 9\r\n\r\n")), EngineAct::Hang],
            "timeout",
        ),
        ("a page", whole_reply(200, &[("content-type", "text/html")], "<html>Welcome"), "malformed"),
        (
            "not UTF-8",
            vec![send(&format!("{head}content-length: 4\r\n\r\n")), EngineAct::Send(b"\"\xff\xff\"".into())],
            "malformed",
        ),
        ("a large reply", whole_reply(200, &[], &"1".repeat(5000)), "too_large"),
        ("a redirect", redirect, "status"),
        ("no such path", whole_reply(404, &[], r#"{"detail":"Not Found"}"#), "status"),
        ("a wrong key", whole_reply(401, &[], r#"{"error":"Unauthorized"}"#), "status"),
        ("too many requests", whole_reply(429, &[("retry-after", "0")], ""), "status"),
        ("overload", whole_reply(503, &[], full), "status"),
        ("overload of Dynamo", whole_reply(529, &[], "busy"), "status"),
        ("an internal error", whole_reply(500, &[], "Internal Server Error"), "status"),
    ]
}

#[tokio::test]
async fn every_lasting_fault_ends_in_an_error_of_its_kind_within_its_bound() {
    for (name, script, expected) in lasting_faults() {
        for streamed in [false, true] {
            let engine = ScriptedEngine::start([script.clone()]).await.unwrap();
            let client = client(&[&engine], TransportSettings { max_reply: 4000, ..fast() });
            let error = if streamed {
                within_bound(client.events(&post())).await.err().unwrap_or_else(|| panic!("{name}"))
            } else {
                within_bound(client.json(&post())).await.unwrap_err()
            };
            // A stream is judged by its type, so the size of something else does not matter.
            let expected = if streamed && expected == "too_large" { "malformed" } else { expected };
            assert_eq!(kind(&error), expected, "{name}, streamed: {streamed}: {error}");
            // A whole reply that took too long would take as long again.
            let again = error.is_retryable() && (streamed || expected != "timeout");
            let attempts = if again { 3 } else { 1 };
            assert_eq!(engine.requests().len(), attempts, "{name}, streamed: {streamed}: {error}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
            let traffic = client.traffic();
            assert_eq!((traffic.in_flight, traffic.waiting), (0, 0), "{name}");
            assert_eq!(errors(&client), [(expected, attempts as u64)], "{name}");
        }
    }
}

#[tokio::test]
async fn a_reply_that_is_an_error_instead_of_a_stream_is_reported_as_such() {
    let engine = ScriptedEngine::start([json_reply(&json!({"error": {"message": "no", "code": 400}}))]).await.unwrap();
    let error = client(&[&engine], fast()).events(&post()).await.err().unwrap();
    assert_eq!(kind(&error), "event");
    assert!(error.to_string().contains(": no"), "{error}");
}

/// Each fault that may pass, once: the caller does not notice.
#[tokio::test]
async fn a_fault_that_passes_is_retried_and_the_reply_arrives() {
    let faults: Vec<EngineScript> = vec![
        vec![EngineAct::Reset],
        vec![EngineAct::Close],
        vec![send("HTTP/1.1 200 OK\r\nconte"), EngineAct::Reset],
        whole_reply(429, &[], ""),
        whole_reply(500, &[], ""),
        whole_reply(502, &[], "<html>Bad Gateway"),
        whole_reply(503, &[("retry-after", "0")], ""),
        whole_reply(504, &[], ""),
        whole_reply(529, &[], ""),
        vec![stream_head(), stream_event(r#"{"error":{"message":"died","code":500}}"#), stream_end()],
        vec![stream_head(), stream_chunk(b"data: {\"tok"), EngineAct::Reset],
        vec![stream_head(), EngineAct::Hang],
        vec![EngineAct::Hang],
    ];
    for fault in faults {
        let engine = ScriptedEngine::start([fault.clone(), streamed_reply(&[json!(7)])]).await.unwrap();
        let client = client(&[&engine], fast());
        assert_eq!(outcome(&client).await, (vec![json!(7)], None), "{fault:?}");
        assert_eq!(client.traffic().retries, 1, "{fault:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// A reply cut anywhere, or with any byte changed, is the reply or an error, and never a panic or a hang.
    #[test]
    fn damaged_replies_end_in_time(
        cut in any::<prop::sample::Index>(),
        changed in any::<Option<(prop::sample::Index, u8)>>(),
        streamed: bool,
    ) {
        let script = if streamed {
            streamed_reply(&[json!({"a": 1}), json!({"b": 2})])
        } else {
            json_reply(&json!({"a": 1}))
        };
        let sent = |act| if let EngineAct::Send(bytes) = act { bytes } else { Vec::new() };
        let mut bytes: Vec<u8> = script.into_iter().flat_map(sent).collect();
        if let Some((place, byte)) = changed {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let engine = ScriptedEngine::start([vec![EngineAct::Send(bytes), EngineAct::Close]]).await.unwrap();
            let client = client(&[&engine], no_retries());
            let both = async {
                if streamed { _ = outcome(&client).await; } else { _ = client.json(&post()).await; }
            };
            within_bound(both).await;
            assert_eq!(client.traffic().in_flight, 0);
        });
    }
}
