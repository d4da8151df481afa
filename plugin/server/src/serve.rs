//! Serves until shutdown. Then the server accepts no new requests, lets running ones finish, and cancels those that
//! take too long.

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use tokio::net::TcpListener;

use crate::app::AppState;

/// How the server shuts down.
#[derive(Debug, Clone, Copy)]
pub struct DrainSettings {
    /// How long running requests may continue before they are cancelled.
    pub patience: Duration,
}

/// How long cancelled requests have to send their last event.
const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// Serves until `shutdown` resolves, then drains.
pub async fn serve(
    app: Arc<AppState>,
    router: Router,
    listener: TcpListener,
    drain: DrainSettings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (draining, stopping) = (app.draining.clone(), app.stopping.clone());
    let begin_drain = draining.clone();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        shutdown.await;
        tracing::info!("shutting down: new requests are refused, running requests may finish");
        begin_drain.cancel();
    });
    let deadline = async move {
        draining.cancelled().await;
        tokio::time::sleep(drain.patience).await;
        tracing::warn!("cancelling the requests that are still running");
        stopping.cancel();
        tokio::time::sleep(CANCEL_GRACE).await;
    };
    tokio::select! {
        result = server.into_future() => result,
        () = deadline => Ok(()),
    }
}
