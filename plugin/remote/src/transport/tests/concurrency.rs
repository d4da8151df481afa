//! Many requests at once: room for a few, in the order of arrival; callers that leave.

use std::time::Duration;

use futures::future::join_all;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    client, fast, outcome, post,
    scripted_engine::{EngineAct, ScriptedEngine, json_reply, stream_event, stream_head, streamed_reply, whole_reply},
};
use crate::transport::{BreakerSettings, EngineClient, EngineRequest, TransportSettings};

fn narrow(max_concurrency: usize) -> TransportSettings {
    TransportSettings { max_concurrency, ..TransportSettings::default() }
}

/// Waits until a condition holds, at most a few seconds.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("not within five seconds: {what}");
}

#[tokio::test]
async fn five_hundred_requests_pass_four_at_a_time_in_order_and_none_is_lost() {
    let busy = [vec![EngineAct::Wait(Duration::from_millis(2))], json_reply(&json!("done"))].concat();
    let engine = ScriptedEngine::start([busy]).await.unwrap();
    let client = client(&[&engine], narrow(4));
    let requests = (0..500).map(|number| {
        let request = EngineRequest { body: Some(json!(number)), ..post() };
        let client = &client;
        async move { client.json(&request).await }
    });
    let watch = async {
        let mut most = 0;
        while client.traffic().first_parts < 500 {
            let traffic = client.traffic();
            most = most.max(traffic.in_flight);
            assert!(traffic.in_flight <= 4 && traffic.in_flight + traffic.waiting <= 500, "{traffic:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        most
    };
    let all = async { tokio::join!(join_all(requests), watch) };
    let (replies, most) = tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
    assert!(replies.into_iter().all(|reply| reply.unwrap() == json!("done")));
    assert_eq!(most, 4);
    assert!(engine.connections() <= 4, "{}", engine.connections());

    let order: Vec<usize> =
        engine.requests().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect();
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..500).collect::<Vec<_>>(), "each arrived once");
    for (place, number) in order.iter().enumerate() {
        // Four are on their way at once, so neighbors may change places on the network.
        assert!(place.abs_diff(*number) < 4, "request {number} arrived at place {place}");
    }
    assert_eq!((client.traffic().in_flight, client.traffic().waiting), (0, 0));
}

#[tokio::test]
async fn a_dropped_stream_closes_its_connection_and_makes_room() {
    let hanging = vec![stream_head(), stream_event("1"), EngineAct::Hang];
    let engine = ScriptedEngine::start([hanging, streamed_reply(&[json!(2)])]).await.unwrap();
    let client = client(&[&engine], narrow(1));
    let mut stream = client.events(&post()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), json!(1));
    let waiting = outcome(&client);
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err(), "there is no room yet");
    assert_eq!((client.traffic().in_flight, client.traffic().waiting), (1, 1));
    assert_eq!(engine.abandoned(), 0);

    drop(stream);
    assert_eq!(waiting.await, (vec![json!(2)], None));
    eventually("the engine sees that the caller has left", || engine.abandoned() == 1).await;
}

/// One caller, who leaves after a while wherever the request is.
async fn caller(client: EngineClient, streamed: bool, patience: Duration) {
    let request = post();
    let stay = async {
        if streamed {
            if let Ok(mut stream) = client.events(&request).await {
                while stream.next().await.is_some() {}
            }
        } else {
            _ = client.json(&request).await;
        }
    };
    _ = tokio::time::timeout(patience, stay).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 25, ..ProptestConfig::default() })]

    /// Callers leave at any moment, from an engine that works, fails and hangs in turn: nothing stays counted, and the
    /// next request gets through.
    #[test]
    fn callers_that_leave_leave_nothing_behind(
        callers in prop::collection::vec((prop::bool::ANY, 0u64..40), 1..40),
        faults in prop::collection::vec(0u8..6, 1..12),
        room in 1usize..5,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let event = |value: u32| {
                [EngineAct::Wait(Duration::from_millis(3)), stream_event(&value.to_string())].to_vec()
            };
            let scripts = faults.iter().map(|fault| match fault {
                0 => streamed_reply(&[json!(1), json!(2)]),
                1 => [vec![stream_head()], event(1), event(2), event(3), vec![EngineAct::Hang]].concat(),
                2 => vec![EngineAct::Hang],
                3 => vec![EngineAct::Reset],
                4 => whole_reply(503, &[], ""),
                _ => json_reply(&Value::Null),
            });
            let engine = ScriptedEngine::start(scripts).await.unwrap();
            // Requests that try an address that was left alone are abandoned too.
            let waits = [5, 10].map(Duration::from_millis);
            let breaker = BreakerSettings { failures: 2, first_wait: waits[0], longest_wait: waits[1] };
            let client = client(&[&engine, &engine], TransportSettings { breaker, max_concurrency: room, ..fast() });
            let all = callers.iter().map(|(streamed, patience)| {
                tokio::spawn(caller(client.clone(), *streamed, Duration::from_millis(*patience)))
            });
            for caller in all.collect::<Vec<_>>() {
                caller.await.unwrap();
            }
            let traffic = client.traffic();
            assert_eq!((traffic.in_flight, traffic.waiting), (0, 0));

            engine.play([json_reply(&json!("well"))]);
            tokio::time::sleep(Duration::from_millis(15)).await;
            assert_eq!(client.json(&post()).await.unwrap(), json!("well"));
        });
    }
}
