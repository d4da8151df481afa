//! Sends requests to the addresses of one engine, with bounded concurrency and bounded retries.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use parking_lot::Mutex;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use rsd_core::pipeline::roles::{ModelHealth, RemoteTraffic};
use serde_json::Value;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{
    EngineRequest, EventStream, TimeoutPhase, TransportError, TransportErrorKind, TransportSettings,
    endpoint::{EndpointAttempt, EngineEndpoints, IDLE},
    error::{message_of, retry_after},
    retry_budget::RetryBudget,
    traffic::{GaugeGuard, TrafficCounters},
};

/// Bytes of an error's body that are received.
const MAX_ERROR: usize = 64 << 10;
/// Limit on the time for an error's body, after its status.
const ERROR_BODY: Duration = Duration::from_secs(1);

/// A client of one engine. Clones share everything.
#[derive(Clone)]
pub struct EngineClient(Arc<ClientCore>);

pub(super) struct ClientCore {
    pub settings: TransportSettings,
    http: reqwest::Client,
    endpoints: EngineEndpoints,
    permits: Arc<Semaphore>,
    budget: Mutex<RetryBudget>,
    counters: Arc<TrafficCounters>,
}

/// The right to have a request under way, given back when dropped.
pub(super) struct RequestLease {
    // The gauge falls before the next request may begin.
    _in_flight: GaugeGuard,
    _permit: OwnedSemaphorePermit,
}

/// The attempts of one request.
struct RequestAttempts<'a> {
    path: &'static str,
    current: EndpointAttempt<'a>,
    /// Whether the first attempt may fail because the engine closed an idle connection at the same time.
    may_be_stale: bool,
    /// Addresses that failed, the latest last.
    tried: Vec<usize>,
    waits: ExponentialBackoff,
    lease: RequestLease,
}

impl EngineClient {
    /// A client for these settings; it connects when the first request is sent.
    ///
    /// # Errors
    /// There is no URL, or the certificates cannot be used.
    pub fn new(settings: TransportSettings) -> Result<Self, TransportError> {
        let endpoints = EngineEndpoints::new(&settings.urls, settings.breaker);
        let http = http_client(&settings).map_err(|kind| TransportError { url: endpoints.urls(), kind })?;
        Ok(Self(Arc::new(ClientCore {
            http,
            endpoints,
            permits: Arc::new(Semaphore::new(settings.max_concurrency.max(1))),
            budget: Mutex::default(),
            counters: Arc::default(),
            settings,
        })))
    }

    /// The first address, for messages.
    #[must_use]
    pub fn address(&self) -> &str {
        self.0.endpoints.url(0)
    }

    /// What was sent and received so far, and the state of every address.
    #[must_use]
    pub fn traffic(&self) -> RemoteTraffic {
        let counters = &self.0.counters;
        let (first_parts, first_part_seconds) = counters.first_parts();
        RemoteTraffic {
            requests: counters.requests.load(Relaxed),
            retries: counters.retries.load(Relaxed),
            failovers: counters.failovers.load(Relaxed),
            errors: counters.errors(),
            waiting: counters.waiting.load(Relaxed),
            in_flight: counters.in_flight.load(Relaxed),
            first_parts,
            first_part_seconds,
            endpoints: self.0.endpoints.states(),
        }
    }

    /// Whether an address may be used, and how often one was given up.
    #[must_use]
    pub fn health(&self) -> ModelHealth {
        let endpoints = self.0.endpoints.states();
        ModelHealth {
            running: endpoints.iter().any(|endpoint| endpoint.usable),
            deaths: endpoints.iter().map(|endpoint| endpoint.openings).sum(),
        }
    }

    /// The whole reply to a request. Dropping the future closes the connection.
    ///
    /// # Errors
    /// No address answered with success and with JSON, after all retries.
    pub async fn json(&self, request: &EngineRequest) -> Result<Value, TransportError> {
        let mut attempts = self.0.first_attempt(request.path).await?;
        loop {
            match self.0.receive_json(attempts.current.index, request).await {
                Ok(reply) => {
                    attempts.current.report(None);
                    self.0.endpoints.record_end(attempts.current.index);
                    return Ok(reply);
                }
                Err(error) => self.0.next_attempt(&mut attempts, error).await?,
            }
        }
    }

    /// The stream of events that answers a request. It is returned with its first event, until which the request may be
    /// repeated.
    ///
    /// # Errors
    /// No address began a stream, after all retries.
    pub async fn events(&self, request: &EngineRequest) -> Result<EventStream, TransportError> {
        let mut attempts = self.0.first_attempt(request.path).await?;
        loop {
            match ClientCore::open_stream(&self.0, attempts.current.index, request).await {
                Ok(mut stream) => {
                    attempts.current.report(None);
                    stream.hold(attempts.lease);
                    return Ok(stream);
                }
                Err(error) => self.0.next_attempt(&mut attempts, error).await?,
            }
        }
    }
}

impl ClientCore {
    /// Waits for the turn of a request and chooses an address for it.
    async fn first_attempt(&self, path: &'static str) -> Result<RequestAttempts<'_>, TransportError> {
        let not_sent = |kind| {
            self.counters.add_error(&kind);
            TransportError { url: self.endpoints.urls(), kind }
        };
        let lease = self.lease().await.map_err(not_sent)?;
        self.counters.requests.fetch_add(1, Relaxed);
        self.budget.lock().add_request();
        let waits = ExponentialBuilder::default()
            .with_min_delay(self.settings.first_wait)
            .with_max_delay(self.settings.longest_wait)
            .with_max_times(self.settings.retries as usize)
            .with_jitter()
            .build();
        let current = self.endpoints.choose(&[]).map_err(not_sent)?;
        let may_be_stale = current.may_be_stale();
        Ok(RequestAttempts { path, current, may_be_stale, tried: Vec::new(), waits, lease })
    }

    /// After a failed attempt: chooses the address of the next one and waits for it, or returns the error where the
    /// settings, the budget or the kind of the error allow no further one.
    async fn next_attempt<'a>(
        &'a self,
        attempts: &mut RequestAttempts<'a>,
        kind: TransportErrorKind,
    ) -> Result<(), TransportError> {
        let failed = attempts.current.index;
        self.counters.add_error(&kind);
        if std::mem::take(&mut attempts.may_be_stale) && matches!(kind, TransportErrorKind::Reset(_)) {
            // That says nothing about the engine. A new connection shows how it is.
            self.counters.retries.fetch_add(1, Relaxed);
            return Ok(());
        }
        attempts.current.report(Some(&kind));
        if matches!(kind, TransportErrorKind::Status { .. }) {
            self.endpoints.record_end(failed);
        }
        attempts.tried.retain(|tried| *tried != failed);
        attempts.tried.push(failed);
        let Some((next, wait)) = self.another_attempt(attempts, &kind) else {
            return Err(TransportError { url: self.address_of(failed, attempts.path), kind });
        };
        tokio::time::sleep(wait).await;
        if next.index != failed {
            self.counters.failovers.fetch_add(1, Relaxed);
        }
        tracing::debug!(url = self.endpoints.url(next.index), error = %kind, "a request is repeated");
        self.counters.retries.fetch_add(1, Relaxed);
        attempts.current = next;
        Ok(())
    }

    /// Another attempt after this error, and the wait before it.
    fn another_attempt(
        &self,
        attempts: &mut RequestAttempts<'_>,
        error: &TransportErrorKind,
    ) -> Option<(EndpointAttempt<'_>, Duration)> {
        let wait = attempts.waits.next().filter(|_| error.is_retryable())?;
        // Where every address is left alone now, what happened says more than that.
        let next = self.endpoints.choose(&attempts.tried).ok()?;
        let wait =
            if attempts.tried.contains(&next.index) { wait.max(self.asked_wait(error)?) } else { Duration::ZERO };
        self.budget.lock().take_retry().then_some((next, wait))
    }

    /// How long an engine asks to wait before it gets a request again; `None` if that is for the caller to decide.
    fn asked_wait(&self, error: &TransportErrorKind) -> Option<Duration> {
        match error {
            // The same engine would take as long again.
            TransportErrorKind::Timeout { phase: TimeoutPhase::Reply, .. } => None,
            TransportErrorKind::Status { retry_after: Some(asked), .. } => {
                (*asked <= self.settings.longest_wait).then_some(*asked)
            }
            _ => Some(Duration::ZERO),
        }
    }

    /// Waits for the right to send a request.
    async fn lease(&self) -> Result<RequestLease, TransportErrorKind> {
        let waiting = GaugeGuard::new(self.counters.clone(), |counters| &counters.waiting);
        let permit = self.permits.clone().acquire_owned().await;
        drop(waiting);
        let permit = permit.map_err(|error| TransportErrorKind::Setup(error.to_string()))?;
        let in_flight = GaugeGuard::new(self.counters.clone(), |counters| &counters.in_flight);
        Ok(RequestLease { _in_flight: in_flight, _permit: permit })
    }

    /// The address of a request, for messages.
    pub(super) fn address_of(&self, endpoint: usize, path: &str) -> String {
        format!("{}{path}", self.endpoints.url(endpoint))
    }

    /// A stream that had begun ended in an error.
    pub(super) fn record_broken_stream(&self, endpoint: usize, error: &TransportErrorKind) {
        self.counters.add_error(error);
        self.endpoints.record_broken_stream(endpoint, error);
    }

    /// A stream was received to its end.
    pub(super) fn record_end(&self, endpoint: usize) {
        self.endpoints.record_end(endpoint);
    }

    async fn receive_json(&self, endpoint: usize, request: &EngineRequest) -> Result<Value, TransportErrorKind> {
        let (began, after) = (Instant::now(), self.settings.reply);
        let received = tokio::time::timeout(after, async {
            let response = self.send(endpoint, request).await?;
            self.counters.add_first_part(began.elapsed());
            body(response, self.settings.max_reply).await
        });
        let bytes = received.await.unwrap_or(Err(TransportErrorKind::Timeout { phase: TimeoutPhase::Reply, after }))?;
        serde_json::from_slice(&bytes).map_err(|error| TransportErrorKind::Malformed(error.to_string()))
    }

    async fn open_stream(
        core: &Arc<Self>,
        endpoint: usize,
        request: &EngineRequest,
    ) -> Result<EventStream, TransportErrorKind> {
        let (began, after) = (Instant::now(), core.settings.first_event);
        let opened = tokio::time::timeout(after, async {
            let response = core.send(endpoint, request).await?;
            EventStream::open(core, endpoint, request.path, response).await
        });
        let stream =
            opened.await.unwrap_or(Err(TransportErrorKind::Timeout { phase: TimeoutPhase::FirstEvent, after }))?;
        core.counters.add_first_part(began.elapsed());
        Ok(stream)
    }

    /// Sends a request; any status but success is an error.
    async fn send(&self, endpoint: usize, request: &EngineRequest) -> Result<reqwest::Response, TransportErrorKind> {
        let url = format!("{}{}", self.endpoints.url(endpoint), request.path);
        let mut sent = match &request.body {
            Some(body) => self.http.post(url).json(body),
            None => self.http.get(url),
        };
        if let Some(key) = &self.settings.key {
            sent = sent.bearer_auth(key);
        }
        for (name, value) in &request.headers {
            sent = sent.header(*name, value);
        }
        let response = sent.send().await.map_err(|error| TransportErrorKind::of_exchange(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let header = response.headers().get(reqwest::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = header.and_then(|header| retry_after(header, SystemTime::now()));
        let message = message_of(&error_body(response).await);
        Err(TransportErrorKind::Status { status: status.as_u16(), message, retry_after })
    }
}

/// What arrives of an error's body in a moment. The status says enough where the rest does not.
async fn error_body(mut response: reqwest::Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    let received = async {
        while let Ok(Some(part)) = response.chunk().await {
            bytes.extend_from_slice(&part);
            if bytes.len() > MAX_ERROR {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(ERROR_BODY, received).await;
    bytes
}

/// A whole body.
pub(super) async fn body(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, TransportErrorKind> {
    let mut bytes = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| TransportErrorKind::of_exchange(&error))? {
        if bytes.len() + part.len() > limit {
            return Err(TransportErrorKind::TooLarge(limit));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

fn http_client(settings: &TransportSettings) -> Result<reqwest::Client, TransportErrorKind> {
    if settings.urls.is_empty() {
        return Err(TransportErrorKind::Setup("there is no URL".to_owned()));
    }
    // No redirect gets the key. A proxy is for the way out of a network; engines are inside.
    let builder = reqwest::Client::builder()
        .default_headers(own_headers(settings)?)
        .connect_timeout(settings.connect)
        .pool_idle_timeout(IDLE)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    let client = trusting(builder, settings.roots.as_deref())?.build();
    client.map_err(|error| TransportErrorKind::Setup(error.to_string()))
}

/// The headers of the settings. No error and no log shows their values.
fn own_headers(settings: &TransportSettings) -> Result<HeaderMap, TransportErrorKind> {
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let wrong =
            |what| TransportErrorKind::Setup(format!("headers: {what} of {name:?} is not one that HTTP allows"));
        let known = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("the name"))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| wrong("the value"))?;
        value.set_sensitive(true);
        headers.insert(known, value);
    }
    Ok(headers)
}

#[cfg(feature = "tls")]
fn trusting(
    builder: reqwest::ClientBuilder,
    roots: Option<&[u8]>,
) -> Result<reqwest::ClientBuilder, TransportErrorKind> {
    let Some(roots) = roots else { return Ok(builder) };
    let certificates = reqwest::Certificate::from_pem_bundle(roots)
        .map_err(|error| TransportErrorKind::Setup(format!("the certificates cannot be used: {error}")))?;
    if certificates.is_empty() {
        return Err(TransportErrorKind::Setup("the file of certificates holds none (PEM)".to_owned()));
    }
    Ok(certificates.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate))
}

#[cfg(not(feature = "tls"))]
fn trusting(
    builder: reqwest::ClientBuilder,
    roots: Option<&[u8]>,
) -> Result<reqwest::ClientBuilder, TransportErrorKind> {
    match roots {
        None => Ok(builder),
        Some(_) => {
            Err(TransportErrorKind::Setup("this build has no TLS, so certificates mean nothing to it".to_owned()))
        }
    }
}
