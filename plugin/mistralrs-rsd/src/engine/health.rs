//! Notices when the engine's thread dies, counts it, and has mistral.rs start another one.
//!
//! mistral.rs replaces a dead thread only when somebody asks for its channel, and tells nobody. A request asks for it,
//! but a server without requests would look well while its model is gone.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use mistralrs_core::Request;
use rsd_core::pipeline::roles::ModelHealth;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::EngineCore;

/// The pause between two attempts to start the thread again.
const RETRY: Duration = Duration::from_millis(200);

/// Whether the engine's thread runs, and how often it has died.
pub(super) struct EngineHealth {
    running: AtomicBool,
    deaths: AtomicU64,
    /// Ends the watch when the engine is dropped.
    dropped: CancellationToken,
    _guard: DropGuard,
}

impl EngineHealth {
    pub(super) fn new() -> Self {
        let dropped = CancellationToken::new();
        let guard = dropped.clone().drop_guard();
        Self { running: AtomicBool::new(true), deaths: AtomicU64::new(0), dropped, _guard: guard }
    }

    pub(super) fn read(&self) -> ModelHealth {
        ModelHealth { running: self.running.load(Ordering::Relaxed), deaths: self.deaths.load(Ordering::Relaxed) }
    }
}

/// Watches the engine's thread until the engine is dropped.
pub(super) fn watch(core: &Arc<EngineCore>) {
    let dropped = core.health.dropped.clone();
    let core = Arc::downgrade(core);
    tokio::spawn(async move {
        while let Some(open) = living_channel(&core).await {
            tokio::select! {
                () = dropped.cancelled() => return,
                () = open.closed() => {}
            }
            let Some(core) = core.upgrade() else { return };
            core.health.running.store(false, Ordering::Relaxed);
            core.health.deaths.fetch_add(1, Ordering::Relaxed);
            tracing::error!(role = %core.role, model = %core.model, "the engine's thread has died; it is started again");
        }
    });
}

/// The channel to a living thread, once there is one; `None` if the engine is dropped meanwhile.
async fn living_channel(core: &Weak<EngineCore>) -> Option<Sender<Request>> {
    let mut complained = false;
    loop {
        let core = core.upgrade()?;
        let mistral = core.mistral.clone();
        // Where the system allows no more threads mistral.rs panics.
        let asked = tokio::task::spawn_blocking(move || mistral.get_sender(None).map_err(|error| error.to_string()));
        let problem = match asked.await.map_err(|error| error.to_string()).flatten() {
            Ok(sender) if !sender.is_closed() => {
                core.health.running.store(true, Ordering::Relaxed);
                return Some(sender);
            }
            // The old thread is still unwinding.
            Ok(_) => None,
            Err(error) => Some(error),
        };
        if let Some(error) = problem.filter(|_| !complained) {
            complained = true;
            tracing::error!(role = %core.role, error, "the engine could not be started again; this is tried until it works");
        }
        drop(core);
        tokio::time::sleep(RETRY).await;
    }
}
