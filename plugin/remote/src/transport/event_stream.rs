//! The events of a reply that is a stream (server-sent events), each a JSON value.

use std::{
    io,
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
    TimeoutPhase, TransportError,
    client::{ClientCore, RequestLease},
    error::message_in,
};

/// The data of the event that ends a stream.
const DONE: &str = "[DONE]";

/// A stream of events. Dropping it closes the connection, which lets the engine stop.
pub struct EventStream {
    events: BoxStream<'static, Result<Sse, SseError>>,
    /// An event that was received already.
    first: Option<Value>,
    between_events: Duration,
    max_event: usize,
    /// Bytes since the last event.
    received: Arc<AtomicUsize>,
    ended: bool,
    endpoint: usize,
    core: Arc<ClientCore>,
    lease: Option<RequestLease>,
}

impl EventStream {
    /// Waits for the first event of a reply.
    pub(super) async fn open(
        core: &Arc<ClientCore>,
        endpoint: usize,
        response: reqwest::Response,
    ) -> Result<Self, TransportError> {
        let (max_event, received) = (core.settings.max_event, Arc::new(AtomicUsize::new(0)));
        let counted = received.clone();
        let bytes = response.bytes_stream().map(move |part| {
            let part = part.map_err(|error| io::Error::other(TransportError::of_exchange(&error).to_string()))?;
            if counted.fetch_add(part.len(), Relaxed) + part.len() > max_event {
                return Err(io::Error::from(io::ErrorKind::FileTooLarge));
            }
            Ok(part)
        });
        let mut stream = Self {
            events: SseStream::from_bytes_stream(bytes).boxed(),
            first: None,
            between_events: core.settings.between_events,
            max_event,
            received,
            ended: false,
            endpoint,
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

    /// The next event; `None` after the last one.
    pub async fn next(&mut self) -> Option<Result<Value, TransportError>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        let after = self.between_events;
        let next = tokio::time::timeout(after, self.receive()).await;
        let next = next.unwrap_or(Some(Err(TransportError::Timeout { phase: TimeoutPhase::NextEvent, after })));
        if let Some(Err(error)) = &next {
            self.ended = true;
            self.core.record(self.endpoint, Some(error));
        }
        next
    }

    async fn receive(&mut self) -> Option<Result<Value, TransportError>> {
        while !self.ended {
            let event = match self.events.next().await {
                None => break,
                Some(Err(error)) => return Some(Err(self.broken(error))),
                Some(Ok(event)) => event,
            };
            // More than this event may have arrived, so this bounds two events together.
            self.received.store(0, Relaxed);
            let Some(data) = event.data else { continue };
            if data.trim() == DONE {
                break;
            }
            return Some(parsed(&data));
        }
        self.ended = true;
        None
    }

    fn broken(&self, error: SseError) -> TransportError {
        match error {
            SseError::Body(error) => match error.downcast_ref::<io::Error>() {
                Some(error) if error.kind() == io::ErrorKind::FileTooLarge => TransportError::TooLarge(self.max_event),
                _ => TransportError::Reset(error.to_string()),
            },
            other => TransportError::Malformed(other.to_string()),
        }
    }
}

/// The JSON of an event; an error object is an error.
fn parsed(data: &str) -> Result<Value, TransportError> {
    let value: Value = serde_json::from_str(data).map_err(|error| TransportError::Malformed(error.to_string()))?;
    match value.get("error") {
        None | Some(Value::Null) => Ok(value),
        Some(error) => Err(TransportError::Event {
            status: error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok()),
            message: message_in(&value).unwrap_or_else(|| error.to_string()),
        }),
    }
}
