//! Checks host, origin and token of every admin request, and writes the audit log.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use rsd_protocol::{
    clock::now_ms,
    error::ErrorCode,
    event::{AdminAttempt, AdminEvent},
};

use super::{AdminState, audit::NO_TOKEN, error::AdminError, tokens::TokenScope};
use crate::host_names::is_allowed_host;

/// The client's address.
#[derive(Debug, Clone)]
pub(super) struct PeerAddress(pub String);

/// What a handler reports for the audit log, in the response's extensions.
#[derive(Debug, Clone, Default)]
pub(super) struct AuditDetails {
    pub revision: Option<u64>,
    pub dry_run: bool,
    pub by: Option<String>,
    pub why: Option<String>,
}

/// Answers or denies a request, and logs it if it tried to change something or was denied.
///
/// This runs on a task of its own, so that the request is logged even if the client disconnects before the answer.
pub(super) async fn guard(
    State(admin): State<Arc<AdminState>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let answer = tokio::spawn(answer(admin, from, request, next)).await;
    answer.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn answer(admin: Arc<AdminState>, from: SocketAddr, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let scope = admin.tokens.scope(request.headers());
    let read_only = matches!(method, Method::GET | Method::HEAD);
    let response = match authorize(&admin, request.headers(), request.uri(), read_only, scope) {
        Ok(scope) => {
            request.extensions_mut().insert(scope);
            request.extensions_mut().insert(PeerAddress(from.to_string()));
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    let status = response.status();
    if !read_only || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        let code = response.extensions().get::<ErrorCode>().and_then(|code| serde_json::to_value(code).ok());
        let details = response.extensions().get::<AuditDetails>().cloned().unwrap_or_default();
        let attempt = AdminAttempt {
            at_ms: now_ms(),
            from: from.to_string(),
            method: method.to_string(),
            path,
            token: scope.map_or(NO_TOKEN, TokenScope::name).to_owned(),
            status: status.as_u16(),
            code: code.and_then(|code| Some(code.as_str()?.to_owned())),
            dry_run: details.dry_run,
            by: details.by,
            why: details.why,
            revision: details.revision.unwrap_or_else(|| admin.control.policy().current().revision),
        };
        if let Some(attempt) = admin.audit.admit(attempt) {
            admin.control.announce(AdminEvent::Attempt(attempt.clone()));
            // The disk may be slow.
            let _ = tokio::task::spawn_blocking(move || admin.audit.record(attempt)).await;
        }
    }
    response
}

fn authorize(
    admin: &AdminState,
    headers: &HeaderMap,
    uri: &Uri,
    read_only: bool,
    scope: Option<TokenScope>,
) -> Result<TokenScope, AdminError> {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or(uri.authority().map(axum::http::uri::Authority::as_str));
    if !host.is_some_and(|host| is_allowed_host(host, &admin.hosts)) {
        let message =
            "the admin API does not answer for this host name: use its address, or add the name to admin.hosts";
        return Err(AdminError::new(ErrorCode::HostRefused, message));
    }
    let origins = headers.get_all(header::ORIGIN);
    if !origins.iter().all(|origin| admin.origins.iter().any(|known| origin.as_bytes() == known.as_bytes())) {
        let message =
            "web pages of this origin may not call the admin API; add the origin to admin.origins to allow it";
        return Err(AdminError::new(ErrorCode::OriginRefused, message));
    }
    match scope {
        None => Err(AdminError::new(
            ErrorCode::InvalidToken,
            "send the admin API's read or write token as `Authorization: Bearer TOKEN`",
        )),
        Some(TokenScope::Read) if !read_only => Err(AdminError::new(
            ErrorCode::WriteTokenRequired,
            "the read token cannot change anything: send the write token",
        )),
        Some(scope) => Ok(scope),
    }
}
