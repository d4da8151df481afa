//! What every request passes before the routes: the length of its path, the name of its host, the place of its
//! connection, and the number of its client's requests.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, Method, header},
    response::{IntoResponse, Response},
};

use super::client_requests::{ClientPermit, ClientRequests};
use crate::{
    app::AppState,
    host_names::is_allowed_host,
    openai::{ApiError, ApiErrorCode},
};

/// Longest path with its query, in bytes. The longest that a route needs is a tenth of it.
const MAX_URI: usize = 4096;

/// The checks of one listener.
#[derive(Debug)]
pub(super) struct RequestGate {
    /// The host names that are answered; `None` if all are.
    hosts: Option<Vec<String>>,
    clients: Option<Arc<ClientRequests>>,
}

impl RequestGate {
    /// The checks of the OpenAI API on this address. Without an API key, loopback is all that protects it; then a web
    /// page must not reach it through a host name of its own.
    pub fn of_api(app: &AppState, address: SocketAddr) -> Self {
        let guarded = app.api_key.is_none() && address.ip().is_loopback();
        let clients = app.connection_limits.requests_per_client.map(|max| Arc::new(ClientRequests::new(max)));
        Self { hosts: guarded.then(|| app.allowed_hosts.clone()), clients }
    }

    /// The checks of the admin API, which checks host names itself.
    pub fn of_admin() -> Self {
        Self { hosts: None, clients: None }
    }

    /// Lets a request pass, or says why not.
    pub fn check<B>(
        &self,
        request: &axum::http::Request<B>,
        client: IpAddr,
        status_only: bool,
    ) -> Result<Option<ClientPermit>, ApiError> {
        let uri = request.uri();
        if uri.path().len() + uri.query().map_or(0, str::len) > MAX_URI {
            let message = format!("the path is longer than {MAX_URI} bytes");
            return Err(ApiError::new(ApiErrorCode::UriTooLong, message));
        }
        if let Some(hosts) = &self.hosts {
            let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap_or_default());
            let authority = uri.authority().map(axum::http::uri::Authority::as_str);
            if !host.into_iter().chain(authority).all(|name| is_allowed_host(name, hosts)) {
                let message = "this server has no API key and answers only to its address and to localhost; add the host \
                               name to server.allowed_hosts, or set an API key";
                return Err(ApiError::new(ApiErrorCode::HostRefused, message));
            }
        }
        if status_only && request.method() != Method::GET {
            let message = "all connections of the server are in use (server.limits.connections); try again soon";
            return Err(ApiError::retry(ApiErrorCode::Overloaded, message, 1));
        }
        let Some(clients) = &self.clients else { return Ok(None) };
        clients.begin(client).map(Some).ok_or_else(|| {
            let message = "this client has too many requests in progress (server.limits.requests_per_client)";
            ApiError::retry(ApiErrorCode::TooManyRequests, message, 1)
        })
    }
}

/// An answer after which the connection ends, because the rest of the request is not read.
pub(super) fn last_answer(error: ApiError) -> Response {
    let mut response = error.into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A request with the body type of the routes.
pub(super) fn for_routes(request: axum::http::Request<hyper::body::Incoming>) -> Request {
    request.map(Body::new)
}
