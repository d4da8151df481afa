//! Serves one connection: HTTP/1.1 with the time-outs and checks of its listener.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::ConnectInfo,
    http::{Request, Response},
};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    client_requests::ClientPermit,
    connections::ConnectionPlace,
    gate::{RequestGate, for_routes, last_answer},
    phase::ConnectionPhase,
    socket::{GuardedSocket, SocketTimeouts},
};
use crate::body_rules::BodyRules;

/// Largest head of a request in bytes, and about what a connection buffers in each direction.
const MAX_HEAD: usize = 64 << 10;

/// How long a connection has for the headers that it has begun to send when the server shuts down.
const LAST_HEADERS: Duration = Duration::from_secs(1);

/// What the connections of one listener share.
#[derive(Clone)]
pub(super) struct ConnectionContext {
    pub router: Router,
    pub gate: Arc<RequestGate>,
    pub bodies: Arc<BodyRules>,
    pub timeouts: SocketTimeouts,
    /// How long a connection may be open without a request.
    pub idle: Duration,
    /// Cancelled when connections must end with the request in progress.
    pub closing: CancellationToken,
}

/// Serves a connection until its client leaves, its time is up, its place is needed, or the server shuts down and its
/// request has ended.
pub(super) async fn serve_connection(
    stream: TcpStream,
    from: SocketAddr,
    place: ConnectionPlace,
    context: Arc<ConnectionContext>,
) {
    let phase = place.phase.clone();
    // Small events of a stream must not wait for more.
    let _ = stream.set_nodelay(true);
    let socket = GuardedSocket::new(stream, phase.clone(), context.timeouts);
    let service = service_fn(|request| answer(&context, &place, from, request));
    let mut builder = http1::Builder::new();
    // The time runs from the end of the previous request: hyper's name for what is the idle time here.
    builder.timer(TokioTimer::new()).header_read_timeout(context.idle).max_buf_size(MAX_HEAD);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
    let mut evicted = pin!(phase.evicted.cancelled());
    let mut closing = pin!(context.closing.cancelled());
    let mut last_headers = pin!(async {
        context.closing.cancelled().await;
        tokio::time::sleep(LAST_HEADERS).await;
    });
    let (mut is_closing, mut is_last) = (false, false);
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = &mut evicted, if !is_closing => {
                if phase.waiting_since().is_some() {
                    return;
                }
                // A request has come meanwhile.
                is_closing = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut closing, if !is_closing => {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut last_headers, if !is_last => {
                is_last = true;
                if phase.waiting_since().is_some() {
                    return;
                }
            }
        }
    }
}

async fn answer(
    context: &Arc<ConnectionContext>,
    place: &ConnectionPlace,
    from: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<TrackedBody>, Infallible> {
    place.phase.begin_request();
    let end = RequestEnd(place.phase.clone());
    let (response, client) = match context.gate.check(&request, from.ip(), place.status_only) {
        Ok(client) => {
            request.extensions_mut().insert(ConnectInfo(from));
            request.extensions_mut().insert(context.bodies.clone());
            (context.router.clone().oneshot(for_routes(request)).await?, client)
        }
        Err(error) => (last_answer(error), None),
    };
    Ok(response.map(|body| TrackedBody { body, _end: end, _client: client }))
}

/// Ends the request of a connection when dropped.
struct RequestEnd(Arc<ConnectionPhase>);

impl Drop for RequestEnd {
    fn drop(&mut self) {
        self.0.end_request();
    }
}

/// The body of an answer. The request ends with it.
struct TrackedBody {
    body: Body,
    _end: RequestEnd,
    _client: Option<ClientPermit>,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
