//! Whether a connection has a request in progress, shared by its socket, its service and the table of connections.

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What a connection is doing.
#[derive(Debug)]
pub(super) struct ConnectionPhase {
    /// Since when it has no request; `None` while it has one.
    waiting_since: Mutex<Option<Instant>>,
    /// Cancelled when its place is needed.
    pub evicted: CancellationToken,
}

impl ConnectionPhase {
    pub fn new() -> Self {
        Self { waiting_since: Mutex::new(Some(Instant::now())), evicted: CancellationToken::new() }
    }

    /// Since when the connection has no request whose headers are complete; `None` while it has one.
    pub fn waiting_since(&self) -> Option<Instant> {
        *self.waiting_since.lock()
    }

    pub fn begin_request(&self) {
        *self.waiting_since.lock() = None;
    }

    pub fn end_request(&self) {
        *self.waiting_since.lock() = Some(Instant::now());
    }
}
