//! Noticing that the deployment file has changed.
//!
//! The file is read every second and compared. That sees what watching a folder's events would miss or see half:
//! links that a cluster swaps, network file systems, an editor that writes in two strokes (a text must be the same
//! twice before it counts).

use std::{sync::Arc, time::Duration};

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::{Author, Control};

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Reads the file again whenever it has changed, until `stop` is cancelled.
pub async fn watch(control: Arc<Control>, stop: CancellationToken) {
    let Some(file) = control.sources.file.clone() else { return };
    // Off the threads that serve requests: a disk may be slow, and a network gone.
    let read = || {
        let file = file.clone();
        async move { spawn_blocking(move || std::fs::read(file).ok()).await.ok().flatten() }
    };
    let mut known = read().await;
    let mut last = known.clone();
    // It may have changed while the models were loaded; where it has not, this changes nothing.
    again(&control).await;
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = read().await;
        let settled = now == last;
        last.clone_from(&now);
        // A file that is gone for a moment is being replaced.
        if now.is_some() && settled && now != known {
            known = now;
            again(&control).await;
        }
    }
}

async fn again(control: &Arc<Control>) {
    let control = control.clone();
    let _ = spawn_blocking(move || control.reload(Author::default())).await;
}
