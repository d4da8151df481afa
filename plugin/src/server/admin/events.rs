//! `GET /admin/v1/events`: what happens, as server-sent events.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use futures::{Stream, StreamExt, stream};
use rsd_protocol::event::Event;
use tokio::sync::broadcast::error::RecvError;

use super::Admin;

/// How often a silent stream shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The stream of one reader, which ends when the server does.
pub(super) fn stream(admin: &Arc<Admin>) -> Sse<impl Stream<Item = Result<Sent, Infallible>> + use<>> {
    let receiver = admin.control.subscribe();
    let ending = admin.app.stopping.clone();
    let hello = Event::Hello { revision: admin.control.policy().current().revision };
    let rest = stream::unfold((receiver, ending), |(mut receiver, ending)| async move {
        let event = tokio::select! {
            biased;
            () = ending.cancelled() => return None,
            event = receiver.recv() => match event {
                Ok(event) => event,
                Err(RecvError::Lagged(events)) => Event::Lost { events },
                Err(RecvError::Closed) => return None,
            },
        };
        Some((event, (receiver, ending)))
    });
    let all = stream::once(async { hello }).chain(rest).map(|event| {
        let data = serde_json::to_string(&event).unwrap_or_default();
        Ok(Sent::default().event(event.name()).data(data))
    });
    Sse::new(all).keep_alive(KeepAlive::new().interval(HEARTBEAT))
}
