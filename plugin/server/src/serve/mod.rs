//! Serves until shutdown. Then the server accepts no new requests, lets running ones finish, and cancels those that
//! take too long.
//!
//! A listener accepts connections and gives each a place (`connections`, as many as `descriptors` allow). A connection
//! (`connection`) reads through a socket with time-outs (`socket`), and each of its requests passes the `gate`.

mod client_requests;
mod connection;
mod connections;
mod descriptors;
mod gate;
mod phase;
mod socket;

#[cfg(test)]
mod tests;

use std::{io, sync::Arc, time::Duration};

use axum::Router;
use rsd_config::ConnectionLimits;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use self::{
    connection::{ConnectionContext, serve_connection},
    connections::OpenConnections,
    gate::RequestGate,
    socket::SocketTimeouts,
};
use crate::{app::AppState, body_rules::BodyRules};

/// How the server shuts down.
#[derive(Debug, Clone, Copy)]
pub struct DrainSettings {
    /// How long running requests may continue before they are cancelled.
    pub patience: Duration,
}

/// How long cancelled requests have to send their last event.
const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// How long to wait after the system could not accept a connection, usually for lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The parts of the free descriptors that the two listeners may use.
const API_SHARE: f64 = 0.75;
const ADMIN_SHARE: f64 = 0.25;

/// Serves the OpenAI API until `shutdown` resolves, then drains. Meanwhile new connections are answered too, so that
/// probes learn of it; they get no more than the status.
pub async fn serve(
    app: Arc<AppState>,
    router: Router,
    listener: TcpListener,
    drain: DrainSettings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (draining, stopping) = (app.draining.clone(), app.stopping.clone());
    let limits = &app.connection_limits;
    let gate = RequestGate::of_api(&app, listener.local_addr()?);
    let context = context(router, gate, limits, &draining, draining.clone());
    let connections = Arc::new(OpenConnections::new(descriptors::affordable(limits.connections, API_SHARE)));
    let mut serving = JoinSet::new();
    tokio::select! {
        () = accept(&listener, &connections, &context, &mut serving) => {}
        () = shutdown => {}
    }
    tracing::info!("shutting down: new requests are refused, running requests may finish");
    draining.cancel();
    let late_context = Arc::new(ConnectionContext { closing: CancellationToken::new(), ..(*context).clone() });
    let mut late = JoinSet::new();
    let finished = async { while serving.join_next().await.is_some() {} };
    let deadline = async {
        tokio::time::sleep(drain.patience).await;
        tracing::warn!("cancelling the requests that are still running");
        stopping.cancel();
        tokio::time::sleep(CANCEL_GRACE).await;
    };
    tokio::select! {
        () = finished => {}
        () = deadline => {}
        () = accept(&listener, &connections, &late_context, &mut late) => {}
    }
    Ok(())
}

/// Serves the admin API until the future is dropped, with at most this number of connections. `app` is the OpenAI API
/// of the same server, whose time-outs apply.
pub async fn serve_admin(app: Arc<AppState>, router: Router, listener: TcpListener, connections: usize) {
    // The admin API answers while the server drains; its streams end when the requests must.
    let context =
        context(router, RequestGate::of_admin(), &app.connection_limits, &app.stopping, CancellationToken::new());
    let connections = Arc::new(OpenConnections::new(descriptors::affordable(connections, ADMIN_SHARE)));
    accept(&listener, &connections, &context, &mut JoinSet::new()).await;
}

fn context(
    router: Router,
    gate: RequestGate,
    limits: &ConnectionLimits,
    refuse_bodies: &CancellationToken,
    closing: CancellationToken,
) -> Arc<ConnectionContext> {
    Arc::new(ConnectionContext {
        router,
        gate: Arc::new(gate),
        bodies: Arc::new(BodyRules::new(limits, refuse_bodies.clone())),
        timeouts: SocketTimeouts {
            header: Duration::from_secs(limits.header_seconds),
            send: Duration::from_secs(limits.send_seconds),
        },
        idle: Duration::from_secs(limits.idle_seconds),
        closing,
    })
}

/// Accepts connections and serves each on a task of `serving`. Never ends by itself.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<OpenConnections>,
    context: &Arc<ConnectionContext>,
    serving: &mut JoinSet<()>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = serving.join_next() => continue,
        };
        match accepted {
            Ok((stream, from)) => {
                if let Some(place) = connections.admit() {
                    serving.spawn(serve_connection(stream, from, place, context.clone()));
                }
            }
            Err(error) if is_of_one_client(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                connections.evict_longest_waiting();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether a connection ended before it was accepted, which says nothing about the listener.
fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
