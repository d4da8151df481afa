//! HTTP with bounds: how long a request may take, how much it may answer, how often it may be sent elsewhere.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, header, redirect::Policy};
use thiserror::Error;
use tokio::time::timeout;

/// The bounds of a request.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// From its start to the last byte.
    pub time: Duration,
    /// Bytes of the body.
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { time: Duration::from_secs(5), bytes: 8 << 20 }
    }
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum HttpError {
    /// Nobody is there.
    #[error("cannot connect to {0}: is the server running?")]
    Unreachable(String),
    /// It takes too long.
    #[error("{url} did not answer within {seconds} s")]
    Hangs {
        /// What was asked for.
        url: String,
        /// The bound.
        seconds: u64,
    },
    /// It says too much.
    #[error("{url} answers more than {mib} MiB: is this a metrics endpoint?")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The bound.
        mib: usize,
    },
    /// It points elsewhere, again and again.
    #[error("{0} redirects too often: give the address it should end at")]
    RedirectLoop(String),
    /// It stopped in the middle.
    #[error("{url} broke off: {cause}")]
    Broken {
        /// What was asked for.
        url: String,
        /// What happened.
        cause: String,
    },
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The `ETag`, where there is one.
    pub etag: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as text; what is no UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A client with bounds.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client,
    bounds: Bounds,
}

impl Http {
    /// A client that follows at most `redirects`. Where a token is sent it follows none.
    pub fn new(bounds: Bounds, redirects: usize) -> Result<Self, HttpError> {
        let policy = if redirects == 0 { Policy::none() } else { Policy::limited(redirects) };
        let client = Client::builder()
            .redirect(policy)
            .no_proxy()
            .connect_timeout(bounds.time)
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("rsd-console/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| HttpError::Broken { url: "the HTTP client".into(), cause: error.to_string() })?;
        Ok(Self { client, bounds })
    }

    /// A request to be built upon.
    pub fn request(&self, method: Method, url: &str, token: Option<&str>) -> RequestBuilder {
        let request = self.client.request(method, url);
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends it and reads the whole answer, within the bounds.
    pub async fn send(&self, request: RequestBuilder) -> Result<Reply, HttpError> {
        let (client, request) = request.build_split();
        let request = request.map_err(|error| HttpError::Broken { url: "the request".into(), cause: plain(&error) })?;
        let url = request.url().to_string();
        let hangs = HttpError::Hangs { url: url.clone(), seconds: self.bounds.time.as_secs() };
        let whole = async {
            let response = client.execute(request).await.map_err(|error| named(&url, &error))?;
            self.read(&url, response).await
        };
        timeout(self.bounds.time, whole).await.unwrap_or(Err(hangs))
    }

    /// Sends it and hands over the answer as it comes, once its head is there.
    pub async fn open(&self, request: RequestBuilder) -> Result<Response, HttpError> {
        let (client, request) = request.build_split();
        let request = request.map_err(|error| HttpError::Broken { url: "the request".into(), cause: plain(&error) })?;
        let url = request.url().to_string();
        let hangs = HttpError::Hangs { url: url.clone(), seconds: self.bounds.time.as_secs() };
        let head = async { client.execute(request).await.map_err(|error| named(&url, &error)) };
        timeout(self.bounds.time, head).await.unwrap_or(Err(hangs))
    }

    async fn read(&self, url: &str, mut response: Response) -> Result<Reply, HttpError> {
        let status = response.status().as_u16();
        let etag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| named(url, &error))? {
            if body.len() + chunk.len() > self.bounds.bytes {
                return Err(HttpError::TooLarge { url: url.to_owned(), mib: self.bounds.bytes >> 20 });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, etag, body })
    }
}

fn named(url: &str, error: &reqwest::Error) -> HttpError {
    let url = url.to_owned();
    if error.is_redirect() {
        HttpError::RedirectLoop(url)
    } else if error.is_connect() {
        HttpError::Unreachable(url)
    } else {
        HttpError::Broken { url, cause: plain(error) }
    }
}

/// The innermost cause, which is the one that says something.
fn plain(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
