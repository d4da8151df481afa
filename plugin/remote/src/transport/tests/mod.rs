//! The client against an engine of scripted faults.

mod concurrency;
mod failover;
mod faults;
mod replies;
mod scripted_engine;
mod streams;

use std::time::Duration;

use rsd_protocol::metrics::REMOTE_ERRORS;
use serde_json::{Value, json};

use self::scripted_engine::ScriptedEngine;
use super::{BreakerSettings, EngineClient, EngineRequest, TransportError, TransportSettings};

/// Limits that a test can wait for, and a breaker that does not open.
fn fast() -> TransportSettings {
    let limit = Duration::from_millis(300);
    TransportSettings {
        first_wait: Duration::from_millis(10),
        longest_wait: Duration::from_secs(2),
        breaker: BreakerSettings { failures: 100, ..BreakerSettings::default() },
        connect: limit,
        first_event: limit,
        between_events: limit,
        reply: limit,
        ..TransportSettings::default()
    }
}

fn no_retries() -> TransportSettings {
    TransportSettings { retries: 0, ..fast() }
}

fn post() -> EngineRequest {
    EngineRequest { body: Some(json!({"prompt": [1, 2]})), path: "/v1/completions", headers: Vec::new() }
}

fn client(engines: &[&ScriptedEngine], settings: TransportSettings) -> EngineClient {
    let urls = engines.iter().map(|engine| engine.url()).collect();
    EngineClient::new(TransportSettings { urls, ..settings }).unwrap()
}

/// The events of one stream, and the error that ended it.
async fn outcome(client: &EngineClient) -> (Vec<Value>, Option<TransportError>) {
    let mut events = Vec::new();
    let mut stream = match client.events(&post()).await {
        Ok(stream) => stream,
        Err(error) => return (events, Some(error)),
    };
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => events.push(event),
            Err(error) => {
                assert!(stream.next().await.is_none(), "an error ends a stream");
                return (events, Some(error));
            }
        }
    }
    (events, None)
}

/// The result of a request of [`fast`], which must come within its limits; the last second is for a busy machine.
async fn within_bound<T>(request: impl Future<Output = T>) -> T {
    let attempts = fast().retries + 2;
    let bound = attempts * (fast().reply + 4 * fast().first_wait) + Duration::from_secs(1);
    tokio::time::timeout(bound, request).await.unwrap()
}

fn kind(error: &TransportError) -> &'static str {
    REMOTE_ERRORS[error.kind.index()]
}

/// Errors of attempts that happened.
fn errors(client: &EngineClient) -> Vec<(&'static str, u64)> {
    client.traffic().errors.into_iter().filter(|(_, count)| *count > 0).collect()
}
