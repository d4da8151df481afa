//! Noticing that the deployment file has changed.
//!
//! The file is read every second and compared. That sees what watching a folder's events would miss or see half:
//! links that a cluster swaps, network file systems, an editor that writes in two strokes (a text must be the same
//! twice before it counts).

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::Control;

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Reads the file again whenever it has changed, until `stop` is cancelled.
pub async fn watch(control: Arc<Control>, stop: CancellationToken) {
    let Some(file) = control.sources.file.clone() else { return };
    let read = || std::fs::read(&file).ok();
    let (mut known, mut last) = (read(), read());
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = read();
        let settled = now == last;
        last.clone_from(&now);
        // A file that is gone for a moment is being replaced.
        if now.is_some() && settled && now != known {
            known = now;
            // Off the threads that serve requests: it reads a file and checks it.
            let control = control.clone();
            let _ = tokio::task::spawn_blocking(move || control.reload()).await;
        }
    }
}
