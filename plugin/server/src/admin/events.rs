//! Streams `GET /admin/v1/events` as server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt, stream};
use rsd_protocol::event::AdminEvent;
use tokio::sync::broadcast::error::RecvError;

use super::AdminState;

/// How often a silent stream sends a comment, so that clients see that it is open.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The stream of one client; it ends when the server stops.
pub(super) fn stream(admin: &Arc<AdminState>) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let receiver = admin.control.subscribe();
    let ending = admin.app.stopping.clone();
    let hello = AdminEvent::Hello { revision: admin.control.policy().current().revision };
    let rest = stream::unfold((receiver, ending), |(mut receiver, ending)| async move {
        let event = tokio::select! {
            biased;
            () = ending.cancelled() => return None,
            event = receiver.recv() => match event {
                Ok(event) => event,
                Err(RecvError::Lagged(events)) => AdminEvent::Lost { events },
                Err(RecvError::Closed) => return None,
            },
        };
        Some((event, (receiver, ending)))
    });
    let all = stream::once(async { hello }).chain(rest).map(|event| {
        let data = serde_json::to_string(&event).unwrap_or_default();
        Ok(Event::default().event(event.name()).data(data))
    });
    Sse::new(all).keep_alive(KeepAlive::new().interval(HEARTBEAT))
}
