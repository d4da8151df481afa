//! Where the waits of the scripted models hang or cancel the request.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Counts the waits of all models and makes a chosen one hang.
#[derive(Default)]
pub struct WaitValve {
    waits: AtomicUsize,
    hang_at: Option<usize>,
    /// Notified when a wait hangs.
    pub hung: Notify,
    cancel: Option<CancellationToken>,
}

impl WaitValve {
    /// The wait with this number never ends; `cancel` is cancelled when it is reached.
    pub fn hanging(at: usize, cancel: Option<CancellationToken>) -> Self {
        Self { hang_at: Some(at), cancel, ..Self::default() }
    }

    pub fn waits(&self) -> usize {
        self.waits.load(SeqCst)
    }

    pub(super) async fn pass(&self) {
        let wait = self.waits.fetch_add(1, SeqCst);
        tokio::task::yield_now().await;
        if self.hang_at == Some(wait) {
            if let Some(cancel) = &self.cancel {
                cancel.cancel();
            }
            self.hung.notify_one();
            std::future::pending::<()>().await;
        }
    }
}
