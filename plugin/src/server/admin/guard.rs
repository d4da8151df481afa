//! What every admin request passes first: host, origin, token; and what is written down of it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use rsd_protocol::{
    error::ErrorCode,
    event::{Attempt, Event},
};

use super::{Admin, error::AdminError, tokens::Scope};
use crate::control::now_ms;

/// The address a request came from.
#[derive(Debug, Clone)]
pub(super) struct Peer(pub String);

/// What a handler tells of a change, for the record.
#[derive(Debug, Clone, Default)]
pub(super) struct Done {
    pub revision: Option<u64>,
    pub dry_run: bool,
    pub by: Option<String>,
    pub why: Option<String>,
}

/// Lets a request pass or not, and notes it where it wanted to change something or was denied.
///
/// On a task of its own: whoever leaves before the answer is there is noted all the same.
pub(super) async fn guard(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let passed = tokio::spawn(pass(admin, from, request, next)).await;
    passed.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn pass(admin: Arc<Admin>, from: SocketAddr, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let scope = admin.tokens.scope(request.headers());
    let looks = matches!(method, Method::GET | Method::HEAD);
    let response = match admit(&admin, request.headers(), request.uri(), looks, scope) {
        Ok(scope) => {
            request.extensions_mut().insert(scope);
            request.extensions_mut().insert(Peer(from.to_string()));
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    let status = response.status();
    if !looks || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        let code = response.extensions().get::<ErrorCode>().and_then(|code| serde_json::to_value(code).ok());
        let done = response.extensions().get::<Done>().cloned().unwrap_or_default();
        let attempt = Attempt {
            at_ms: now_ms(),
            from: from.to_string(),
            method: method.to_string(),
            path,
            token: scope.map_or("none", Scope::name).to_owned(),
            status: status.as_u16(),
            code: code.and_then(|code| Some(code.as_str()?.to_owned())),
            dry_run: done.dry_run,
            by: done.by,
            why: done.why,
            revision: done.revision.unwrap_or_else(|| admin.control.policy().current().revision),
        };
        admin.control.announce(Event::Attempt(attempt.clone()));
        // A disk may be slow.
        let _ = tokio::task::spawn_blocking(move || admin.audit.note(attempt)).await;
    }
    response
}

fn admit(
    admin: &Admin,
    headers: &HeaderMap,
    uri: &Uri,
    looks: bool,
    scope: Option<Scope>,
) -> Result<Scope, AdminError> {
    // Against a web page whose name was made to point here: its requests carry that name.
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or(uri.authority().map(axum::http::uri::Authority::as_str));
    if !host.is_some_and(|host| is_ours(host, &admin.hosts)) {
        let message =
            "this name is not one the admin API answers for: call it by its address, or add the name to admin.hosts";
        return Err(AdminError::new(ErrorCode::HostRefused, message));
    }
    let origins = headers.get_all(header::ORIGIN);
    if !origins.iter().all(|origin| admin.origins.iter().any(|known| origin.as_bytes() == known.as_bytes())) {
        let message = "web pages of this origin may not call the admin API; admin.origins lists those that may";
        return Err(AdminError::new(ErrorCode::OriginRefused, message));
    }
    match scope {
        None => Err(AdminError::new(
            ErrorCode::InvalidToken,
            "send the admin API's read or write token as `Authorization: Bearer TOKEN`",
        )),
        Some(Scope::Read) if !looks => Err(AdminError::new(
            ErrorCode::WriteTokenRequired,
            "the read token may only look: send the write token to change things",
        )),
        Some(scope) => Ok(scope),
    }
}

/// Whether a `Host` header is an address, names this machine, or a name that was configured. A web page can have a
/// name of its own point here, but not an address.
fn is_ours(host: &str, hosts: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    if name.parse::<IpAddr>().is_ok() {
        return true;
    }
    ["localhost"].into_iter().chain(hosts.iter().map(String::as_str)).any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_pass() {
        let hosts = ["rsd.example.org".to_owned()];
        for host in [
            "localhost",
            "localhost:1235",
            "127.0.0.1:1",
            "[::1]:1235",
            "[::1]",
            "192.168.1.5:1235",
            "RSD.example.org:80",
        ] {
            assert!(is_ours(host, &hosts), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:1235", "[evil.example]:1"] {
            assert!(!is_ours(host, &hosts), "{host}");
        }
    }
}
