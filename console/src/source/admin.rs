//! The admin API of one server: every call, typed.

use std::sync::{Arc, PoisonError, RwLock};

use reqwest::{Method, Response};
use rsd_protocol::{
    error::{ErrorBody, ErrorCode, ErrorDetail},
    event::Attempt,
    live::{Change, Changed, Noted, PolicyView, Revision, Rollback},
    preview::Preview,
    routes,
    status::Status,
    trace::{RequestTrace, TraceSummary},
};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use super::{
    find::{self, Credentials},
    http::{Bounds, Http, HttpError, Reply},
};

/// Why a call brought nothing.
#[derive(Debug, Error)]
pub enum AdminError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The server said no.
    #[error("{}", .0.message)]
    Refused(Box<ErrorDetail>),
    /// It redirects; a token is not sent after it.
    #[error("{0} redirects elsewhere; tokens are not sent there: give the admin listener's own address")]
    Redirected(String),
    /// An answer of another kind.
    #[error("{url} answers {status} and no admin API: is this the admin listener (default port 1235)?")]
    Foreign {
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// The right answer in another shape.
    #[error("{url} answers what this version does not understand: {cause}")]
    Unreadable {
        /// What was asked for.
        url: String,
        /// Where it stops making sense.
        cause: String,
    },
}

impl AdminError {
    /// The code of the refusal.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        if let Self::Refused(detail) = self { Some(detail.code) } else { None }
    }
}

/// One server's admin API. Copies share the token.
#[derive(Debug, Clone)]
pub struct Admin {
    http: Http,
    base: String,
    credentials: Arc<RwLock<Credentials>>,
    readonly: bool,
}

impl Admin {
    /// The API at `base`.
    pub fn new(base: &str, credentials: Credentials, readonly: bool) -> Result<Self, HttpError> {
        let http = Http::new(Bounds::default(), 0)?;
        Ok(Self { http, base: base.to_owned(), credentials: Arc::new(RwLock::new(credentials)), readonly })
    }

    /// Its address.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Reads the token file again, after a restart of the server; says whether the token is another one.
    pub fn renew_token(&self) -> bool {
        let mut credentials = self.credentials.write().unwrap_or_else(PoisonError::into_inner);
        let token = find::token_again(&credentials, self.readonly);
        let changed = token.is_some() && token != credentials.token;
        if changed {
            credentials.token = token;
        }
        changed
    }

    /// The policy and its tag.
    pub async fn policy(&self) -> Result<(String, PolicyView), AdminError> {
        let (reply, url) = self.call(Method::GET, routes::POLICY, None, None::<&()>).await?;
        let etag = reply.etag.clone().unwrap_or_default();
        Ok((etag, Self::read(&reply, &url)?))
    }

    /// Revisions, newest first.
    pub async fn history(&self) -> Result<Vec<Revision>, AdminError> {
        self.get(routes::HISTORY).await
    }

    /// What it is.
    pub async fn status(&self) -> Result<Status, AdminError> {
        self.get(routes::STATUS).await
    }

    /// What other thresholds would do.
    pub async fn preview(&self) -> Result<Preview, AdminError> {
        self.get(&format!("{}?delta=0..1&step=0.02", routes::PREVIEW)).await
    }

    /// Recent requests.
    pub async fn traces(&self) -> Result<Vec<TraceSummary>, AdminError> {
        self.get(routes::TRACES).await
    }

    /// One of them.
    pub async fn trace(&self, id: &str) -> Result<RequestTrace, AdminError> {
        let id: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect();
        self.get(&routes::TRACE.replace("{id}", &id)).await
    }

    /// Recent attempts.
    pub async fn audit(&self) -> Result<Vec<Attempt>, AdminError> {
        self.get(routes::AUDIT).await
    }

    /// Makes a change, or says what it would do.
    pub async fn change(&self, change: &Change, etag: &str, dry_run: bool) -> Result<Changed, AdminError> {
        let path = if dry_run { format!("{}?dry_run=true", routes::POLICY) } else { routes::POLICY.to_owned() };
        let (reply, url) = self.call(Method::PATCH, &path, Some(etag), Some(change)).await?;
        Self::read(&reply, &url)
    }

    /// Goes back to an earlier revision.
    pub async fn rollback(&self, rollback: &Rollback, etag: &str) -> Result<Changed, AdminError> {
        let (reply, url) = self.call(Method::POST, routes::ROLLBACK, Some(etag), Some(rollback)).await?;
        Self::read(&reply, &url)
    }

    /// Keeps a change that would be taken back.
    pub async fn keep(&self, note: &Noted, etag: &str) -> Result<Changed, AdminError> {
        let (reply, url) = self.call(Method::POST, routes::KEEP, Some(etag), Some(note)).await?;
        Self::read(&reply, &url)
    }

    /// The stream of events.
    pub async fn events(&self) -> Result<Response, AdminError> {
        let url = format!("{}{}", self.base, routes::EVENTS);
        let request = self.http.request(Method::GET, &url, self.token().as_deref());
        let response = self.http.open(request.header("accept", "text/event-stream")).await?;
        match response.status().as_u16() {
            200 => Ok(response),
            status => Err(AdminError::Foreign { url, status }),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, AdminError> {
        let (reply, url) = self.call(Method::GET, path, None, None::<&()>).await?;
        Self::read(&reply, &url)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        etag: Option<&str>,
        body: Option<&impl Serialize>,
    ) -> Result<(Reply, String), AdminError> {
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

    fn read<T: DeserializeOwned>(reply: &Reply, url: &str) -> Result<T, AdminError> {
        serde_json::from_slice(&reply.body)
            .map_err(|error| AdminError::Unreadable { url: url.to_owned(), cause: error.to_string() })
    }

    fn token(&self) -> Option<String> {
        self.credentials.read().unwrap_or_else(PoisonError::into_inner).token.clone()
    }
}
