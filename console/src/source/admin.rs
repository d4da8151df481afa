//! A client of one server's admin API.

use std::sync::{Arc, PoisonError, RwLock};

use reqwest::{Method, Response};
use rsd_protocol::{
    error::{ErrorBody, ErrorCode, ErrorDetail},
    event::AdminAttempt,
    preview::PolicyPreview,
    routes,
    settings::{ChangeNote, ChangeResult, PolicyChange, PolicyRevision, PolicyView, RollbackRequest, ScheduledRevert},
    status::ServerStatus,
    trace::{RequestTrace, TraceSummary},
};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use super::{
    discovery::{self, Credentials},
    http::{HttpClient, HttpError, HttpReply, RequestLimits},
};

/// Why a call of the admin API failed.
#[derive(Debug, Error)]
pub enum AdminError {
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The server refused the request and said why.
    #[error("{}", .0.message)]
    Refused(Box<ErrorDetail>),
    /// The server redirects; the client does not send its token to another address.
    #[error(
        "{0} redirects to another address, to which no token is sent: give the address of the admin listener itself"
    )]
    Redirected(String),
    /// The answer is not one of the admin API.
    #[error(
        "{url} answers {status} without the admin API's error body: is this the admin listener (default port 1235)?"
    )]
    Foreign { url: String, status: u16 },
    /// The answer has an unknown shape, as of another version.
    #[error("{url} answers with something that this version does not understand: {cause}")]
    Unreadable { url: String, cause: String },
}

impl AdminError {
    /// The server's error code, if it refused the request.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        if let Self::Refused(detail) = self { Some(detail.code) } else { None }
    }
}

/// A client of one server's admin API. Clones share the token.
#[derive(Debug, Clone)]
pub struct AdminClient {
    http: HttpClient,
    base: String,
    credentials: Arc<RwLock<Credentials>>,
    readonly: bool,
}

impl AdminClient {
    /// A client of the admin listener at `base`, such as `http://127.0.0.1:1235`.
    pub fn new(base: &str, credentials: Credentials, readonly: bool) -> Result<Self, HttpError> {
        let http = HttpClient::new(RequestLimits::default(), 0)?;
        Ok(Self { http, base: base.to_owned(), credentials: Arc::new(RwLock::new(credentials)), readonly })
    }

    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Reads the token file again, which a restarted server has rewritten. Returns whether the token has changed.
    pub fn renew_token(&self) -> bool {
        let mut credentials = self.credentials.write().unwrap_or_else(PoisonError::into_inner);
        let token = discovery::read_token_again(&credentials, self.readonly);
        let changed = token.is_some() && token != credentials.token;
        if changed {
            credentials.token = token;
        }
        changed
    }

    /// The policy and its `ETag`.
    pub async fn policy(&self) -> Result<(String, PolicyView), AdminError> {
        let (reply, url) = self.call(Method::GET, routes::POLICY, None, None::<&()>).await?;
        let etag = reply.etag.clone().unwrap_or_default();
        Ok((etag, Self::parse(&reply, &url)?))
    }

    /// The policy's revisions, newest first.
    pub async fn history(&self) -> Result<Vec<PolicyRevision>, AdminError> {
        self.get(routes::HISTORY).await
    }

    pub async fn status(&self) -> Result<ServerStatus, AdminError> {
        self.get(routes::STATUS).await
    }

    /// The prediction for thresholds from 0 to 1.
    pub async fn preview(&self) -> Result<PolicyPreview, AdminError> {
        self.get(&format!("{}?delta=0..1&step=0.02", routes::PREVIEW)).await
    }

    /// Recent requests, newest first.
    pub async fn traces(&self) -> Result<Vec<TraceSummary>, AdminError> {
        self.get(routes::TRACES).await
    }

    /// One recent request, step by step.
    pub async fn trace(&self, id: &str) -> Result<RequestTrace, AdminError> {
        let id: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect();
        self.get(&routes::TRACE.replace("{id}", &id)).await
    }

    /// Recent attempts to change something, newest first.
    pub async fn audit(&self) -> Result<Vec<AdminAttempt>, AdminError> {
        self.get(routes::AUDIT).await
    }

    /// Makes a change, or with `dry_run` asks what it would do.
    pub async fn change(&self, change: &PolicyChange, etag: &str, dry_run: bool) -> Result<ChangeResult, AdminError> {
        let path = if dry_run { format!("{}?dry_run=true", routes::POLICY) } else { routes::POLICY.to_owned() };
        let (reply, url) = self.call(Method::PATCH, &path, Some(etag), Some(change)).await?;
        Self::parse(&reply, &url)
    }

    /// Returns to an earlier revision.
    pub async fn rollback(&self, rollback: &RollbackRequest, etag: &str) -> Result<ChangeResult, AdminError> {
        let (reply, url) = self.call(Method::POST, routes::ROLLBACK, Some(etag), Some(rollback)).await?;
        Self::parse(&reply, &url)
    }

    /// Confirms the changes that would otherwise be reverted, and returns them.
    pub async fn confirm(&self, note: &ChangeNote) -> Result<Vec<ScheduledRevert>, AdminError> {
        let (reply, url) = self.call(Method::POST, routes::CONFIRM, None, Some(note)).await?;
        Self::parse(&reply, &url)
    }

    /// Opens the stream of events.
    pub async fn events(&self) -> Result<Response, AdminError> {
        let url = format!("{}{}", self.base, routes::EVENTS);
        let request = self.http.request(Method::GET, &url, self.token().as_deref());
        let response = self.http.open_stream(request.header("accept", "text/event-stream")).await?;
        match response.status().as_u16() {
            200 => Ok(response),
            status => Err(AdminError::Foreign { url, status }),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AdminError> {
        let (reply, url) = self.call(Method::GET, path, None, None::<&()>).await?;
        Self::parse(&reply, &url)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        etag: Option<&str>,
        body: Option<&impl Serialize>,
    ) -> Result<(HttpReply, String), AdminError> {
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method, &url, self.token().as_deref());
        if let Some(etag) = etag {
            request = request.header("if-match", etag);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let reply = self.http.send(request).await?;
        match reply.status {
            200..=299 => Ok((reply, url)),
            300..=399 => Err(AdminError::Redirected(url)),
            status => Err(match serde_json::from_slice::<ErrorBody>(&reply.body) {
                Ok(body) => AdminError::Refused(Box::new(body.error)),
                Err(_) => AdminError::Foreign { url, status },
            }),
        }
    }

    fn parse<T: DeserializeOwned>(reply: &HttpReply, url: &str) -> Result<T, AdminError> {
        serde_json::from_slice(&reply.body)
            .map_err(|error| AdminError::Unreadable { url: url.to_owned(), cause: error.to_string() })
    }

    fn token(&self) -> Option<String> {
        self.credentials.read().unwrap_or_else(PoisonError::into_inner).token.clone()
    }
}
