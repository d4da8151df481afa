//! The events of a reply that is a stream (server-sent events), each a JSON value.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::{StreamExt as _, stream::BoxStream};
use serde_json::Value;
use sse_stream::{Error as SseError, Sse, SseStream};

use super::{
    TimeoutPhase, TransportError, TransportErrorKind,
    client::{ClientCore, RequestLease, body},
    error::message_in,
};

/// The data of the event that ends a stream.
const DONE: &str = "[DONE]";

/// The body ends right after that. Waiting for it this long lets the connection be used again.
const END_OF_BODY: Duration = Duration::from_millis(50);

/// Bytes of a reply that is received although it is no stream: it may be an error.
const MAX_OTHER: usize = 64 << 10;

/// A stream of events. Dropping it closes the connection, which lets the engine stop.
pub struct EventStream {
    events: BoxStream<'static, Result<Sse, SseError>>,
    /// An event that was received already.
    first: Option<Value>,
    between_events: Duration,
    /// Bytes since the last event.
    received: Arc<AtomicUsize>,
    ended: bool,
    complete: bool,
    endpoint: usize,
    path: &'static str,
    core: Arc<ClientCore>,
    lease: Option<RequestLease>,
}

impl EventStream {
    /// Waits for the first event of a reply.
    pub(super) async fn open(
        core: &Arc<ClientCore>,
        endpoint: usize,
        path: &'static str,
        response: reqwest::Response,
    ) -> Result<Self, TransportErrorKind> {
        let kind = response.headers().get(reqwest::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or("unknown").to_ascii_lowercase();
        if !kind.starts_with("text/event-stream") {
            let other = body(response, MAX_OTHER).await?;
            parsed(&String::from_utf8_lossy(&other))?;
            return Err(TransportErrorKind::Malformed(format!("its type is {kind}, not text/event-stream")));
        }
        let (max_event, received) = (core.settings.max_event, Arc::new(AtomicUsize::new(0)));
        let counted = received.clone();
        let bytes = response.bytes_stream().map(move |part| {
            let part = part.map_err(|error| TransportErrorKind::of_exchange(&error))?;
            if counted.fetch_add(part.len(), Relaxed) + part.len() > max_event {
                return Err(TransportErrorKind::TooLarge(max_event));
            }
            Ok(part)
        });
        let mut stream = Self {
            events: SseStream::from_bytes_stream(bytes).boxed(),
            first: None,
            between_events: core.settings.between_events,
            received,
            ended: false,
            complete: false,
            endpoint,
            path,
            core: core.clone(),
            lease: None,
        };
        stream.first = stream.receive().await.transpose()?;
        Ok(stream)
    }

    /// The stream holds the lease until it is dropped.
    pub(super) fn hold(&mut self, lease: RequestLease) {
        self.lease = Some(lease);
    }

    /// The next event; `None` after the last one and after an error.
    pub async fn next(&mut self) -> Option<Result<Value, TransportError>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        let after = self.between_events;
        let next = tokio::time::timeout(after, self.receive()).await;
        let next = next.unwrap_or(Some(Err(TransportErrorKind::Timeout { phase: TimeoutPhase::NextEvent, after })))?;
        Some(next.map_err(|kind| {
            self.ended = true;
            self.core.record_broken_stream(self.endpoint, &kind);
            TransportError { url: self.core.address_of(self.endpoint, self.path), kind }
        }))
    }

    /// Whether the engine said that the stream is at its end. A proxy may end it before.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The error of a stream that ended although more was to come.
    pub(crate) fn ended_early(&self) -> TransportError {
        let kind = TransportErrorKind::Reset("the stream ended before the answer did".to_owned());
        self.core.record_broken_stream(self.endpoint, &kind);
        TransportError { url: self.core.address_of(self.endpoint, self.path), kind }
    }

    async fn receive(&mut self) -> Option<Result<Value, TransportErrorKind>> {
        while !self.ended {
            let event = match self.events.next().await {
                None => break,
                Some(Err(error)) => return Some(Err(broken(error))),
                Some(Ok(event)) => event,
            };
            // More than this event may have arrived, so this bounds two events together.
            self.received.store(0, Relaxed);
            let Some(data) = event.data else { continue };
            if data.trim() == DONE {
                self.complete = true;
                let _ = tokio::time::timeout(END_OF_BODY, self.events.next()).await;
                break;
            }
            return Some(parsed(&data));
        }
        if !std::mem::replace(&mut self.ended, true) {
            self.core.record_end(self.endpoint);
        }
        None
    }
}

fn broken(error: SseError) -> TransportErrorKind {
    match error {
        SseError::Body(error) => match error.downcast::<TransportErrorKind>() {
            Ok(kind) => *kind,
            Err(other) => TransportErrorKind::Reset(other.to_string()),
        },
        other => TransportErrorKind::Malformed(other.to_string()),
    }
}

/// The JSON of an event; an error object is an error.
fn parsed(data: &str) -> Result<Value, TransportErrorKind> {
    let value: Value = serde_json::from_str(data).map_err(|error| TransportErrorKind::Malformed(error.to_string()))?;
    match value.get("error") {
        None | Some(Value::Null) => Ok(value),
        Some(error) => Err(TransportErrorKind::Event {
            status: error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok()),
            message: message_in(&value).unwrap_or_else(|| error.to_string()),
        }),
    }
}
