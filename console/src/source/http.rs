//! An HTTP client that limits the duration, the size and the redirects of every request.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, header, redirect::Policy};
use thiserror::Error;
use tokio::time::timeout;

/// The limits of a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestLimits {
    /// From the start of the request to the last byte of the answer.
    pub time: Duration,
    /// Size of the answer's body.
    pub bytes: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self { time: Duration::from_secs(5), bytes: 8 << 20 }
    }
}

/// Why there is no complete answer.
#[derive(Debug, Error)]
pub enum HttpError {
    #[error("cannot connect to {0}: is the server running?")]
    Unreachable(String),
    #[error("{url} did not answer within {seconds} s")]
    Hangs { url: String, seconds: u64 },
    #[error("{url} answers more than {mib} MiB: is this a metrics endpoint?")]
    TooLarge { url: String, mib: usize },
    #[error("{0} redirects too often: give the final address")]
    RedirectLoop(String),
    /// The connection broke, or the client could not be set up.
    #[error("{url} failed: {cause}")]
    Broken { url: String, cause: String },
}

/// An answer of any status.
#[derive(Debug)]
pub struct HttpReply {
    pub status: u16,
    pub etag: Option<String>,
    pub body: Vec<u8>,
}

impl HttpReply {
    /// The body as text; invalid UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// An HTTP client with limits.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: Client,
    limits: RequestLimits,
}

impl HttpClient {
    /// A client that follows at most this number of redirects; 0 for a client that sends a token.
    pub fn new(limits: RequestLimits, redirects: usize) -> Result<Self, HttpError> {
        let policy = if redirects == 0 { Policy::none() } else { Policy::limited(redirects) };
        let client = Client::builder()
            .redirect(policy)
            .no_proxy()
            .connect_timeout(limits.time)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("rsd-console/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| HttpError::Broken { url: "the HTTP client".into(), cause: error.to_string() })?;
        Ok(Self { client, limits })
    }

    /// Starts to build a request.
    pub fn request(&self, method: Method, url: &str, token: Option<&str>) -> RequestBuilder {
        let request = self.client.request(method, url);
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, request: RequestBuilder) -> Result<HttpReply, HttpError> {
        let (client, request) = request.build_split();
        let request =
            request.map_err(|error| HttpError::Broken { url: "the request".into(), cause: root_cause(&error) })?;
        let url = request.url().to_string();
        let hangs = HttpError::Hangs { url: url.clone(), seconds: self.limits.time.as_secs() };
        let whole = async {
            let response = client.execute(request).await.map_err(|error| http_error(&url, &error))?;
            self.read(&url, response).await
        };
        timeout(self.limits.time, whole).await.unwrap_or(Err(hangs))
    }

    /// Sends a request and returns the answer as a stream as soon as its head has arrived.
    pub async fn open_stream(&self, request: RequestBuilder) -> Result<Response, HttpError> {
        let (client, request) = request.build_split();
        let request =
            request.map_err(|error| HttpError::Broken { url: "the request".into(), cause: root_cause(&error) })?;
        let url = request.url().to_string();
        let hangs = HttpError::Hangs { url: url.clone(), seconds: self.limits.time.as_secs() };
        let head = async { client.execute(request).await.map_err(|error| http_error(&url, &error)) };
        timeout(self.limits.time, head).await.unwrap_or(Err(hangs))
    }

    async fn read(&self, url: &str, mut response: Response) -> Result<HttpReply, HttpError> {
        let status = response.status().as_u16();
        let etag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| http_error(url, &error))? {
            if body.len() + chunk.len() > self.limits.bytes {
                return Err(HttpError::TooLarge { url: url.to_owned(), mib: self.limits.bytes >> 20 });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(HttpReply { status, etag, body })
    }
}

fn http_error(url: &str, error: &reqwest::Error) -> HttpError {
    let url = url.to_owned();
    if error.is_redirect() {
        HttpError::RedirectLoop(url)
    } else if error.is_connect() {
        HttpError::Unreachable(url)
    } else {
        HttpError::Broken { url, cause: root_cause(error) }
    }
}

/// The innermost cause, which is the most specific one.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
