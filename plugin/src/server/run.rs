//! Listening, and leaving in good order: no new requests, running ones finish, then they are cancelled.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use tokio::net::TcpListener;

use super::app::App;

/// How a shutdown goes.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// How long running requests may go on.
    pub patience: Duration,
}

/// How long cancelled requests get to say goodbye.
const FAREWELL: Duration = Duration::from_secs(5);

/// Serves until `shutdown` resolves, then drains.
///
/// # Errors
/// The listener failed.
pub async fn serve(
    app: Arc<App>,
    router: Router,
    listener: TcpListener,
    drain: Drain,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (draining, stopping) = (app.draining.clone(), app.stopping.clone());
    let begun = draining.clone();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        shutdown.await;
        tracing::info!("shutting down: no new requests, running ones may finish");
        begun.cancel();
    });
    let deadline = async move {
        draining.cancelled().await;
        tokio::time::sleep(drain.patience).await;
        tracing::warn!("cancelling the requests that still run");
        stopping.cancel();
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        result = server.into_future() => result,
        () = deadline => Ok(()),
    }
}
