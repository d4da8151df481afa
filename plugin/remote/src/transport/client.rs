//! Sends requests to the addresses of one engine, with bounded concurrency and bounded retries.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use parking_lot::Mutex;
use rsd_core::pipeline::roles::{ModelHealth, RemoteTraffic};
use serde_json::Value;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{
    EngineRequest, EventStream, TimeoutPhase, TransportError, TransportSettings,
    endpoint::EngineEndpoints,
    error::{message_of, retry_after},
    retry_budget::RetryBudget,
    traffic::{GaugeGuard, TrafficCounters},
};

/// Engines close a connection that was idle for five seconds.
const IDLE: Duration = Duration::from_secs(4);
/// The wait before the first retry; each further one is twice as long, and up to twice that by chance.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait before a retry, whatever the engine asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Bytes of an error's body that are received.
const MAX_ERROR: usize = 64 << 10;

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
    _permit: OwnedSemaphorePermit,
    _in_flight: GaugeGuard,
}

/// The attempts of one request.
struct RequestAttempts {
    /// The address of the current attempt.
    endpoint: usize,
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
        if settings.urls.is_empty() {
            return Err(TransportError::Setup("there is no URL".to_owned()));
        }
        // No redirect gets the key. A proxy is for the way out of a network; engines are inside.
        let builder = reqwest::Client::builder()
            .connect_timeout(settings.connect)
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        let http = trusting(builder, settings.roots.as_deref())?;
        let http = http.build().map_err(|error| TransportError::Setup(error.to_string()))?;
        Ok(Self(Arc::new(ClientCore {
            http,
            endpoints: EngineEndpoints::new(&settings.urls),
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
        let mut attempts = self.0.first_attempt().await?;
        loop {
            match self.0.receive_json(attempts.endpoint, request).await {
                Ok(reply) => {
                    self.0.record(attempts.endpoint, None);
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
        let mut attempts = self.0.first_attempt().await?;
        loop {
            match ClientCore::open_stream(&self.0, attempts.endpoint, request).await {
                Ok(mut stream) => {
                    self.0.record(attempts.endpoint, None);
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
    async fn first_attempt(&self) -> Result<RequestAttempts, TransportError> {
        let lease = self.lease().await?;
        self.counters.requests.fetch_add(1, Relaxed);
        self.budget.lock().add_request();
        let waits = ExponentialBuilder::default()
            .with_min_delay(FIRST_WAIT)
            .with_max_delay(LONGEST_WAIT)
            .with_max_times(self.settings.retries as usize)
            .with_jitter()
            .build();
        let endpoint = self.endpoints.choose(&[]).inspect_err(|error| self.counters.add_error(error))?;
        Ok(RequestAttempts { endpoint, tried: Vec::new(), waits, lease })
    }

    /// After a failed attempt: chooses the address of the next one and waits for it, or returns the error where the
    /// settings, the budget or the kind of the error allow no further one.
    async fn next_attempt(&self, attempts: &mut RequestAttempts, error: TransportError) -> Result<(), TransportError> {
        let failed = attempts.endpoint;
        self.record(failed, Some(&error));
        let allowed = |_: &Duration| error.is_retryable() && self.budget.lock().take_retry();
        let Some(wait) = attempts.waits.next().filter(allowed) else { return Err(error) };
        attempts.tried.retain(|tried| *tried != failed);
        attempts.tried.push(failed);
        // Where every address is left alone now, what happened says more than that.
        let Ok(next) = self.endpoints.choose(&attempts.tried) else { return Err(error) };
        if attempts.tried.contains(&next) {
            let asked = match error {
                TransportError::Status { retry_after, .. } => retry_after.unwrap_or_default(),
                _ => Duration::ZERO,
            };
            tokio::time::sleep(wait.max(asked).min(LONGEST_WAIT)).await;
        }
        if next != failed {
            self.counters.failovers.fetch_add(1, Relaxed);
        }
        tracing::debug!(url = self.endpoints.url(next), %error, "a request is repeated");
        self.counters.retries.fetch_add(1, Relaxed);
        attempts.endpoint = next;
        Ok(())
    }

    /// Waits for the right to send a request.
    async fn lease(&self) -> Result<RequestLease, TransportError> {
        let waiting = GaugeGuard::new(self.counters.clone(), |counters| &counters.waiting);
        let permit = self.permits.clone().acquire_owned().await;
        drop(waiting);
        let permit = permit.map_err(|error| TransportError::Setup(error.to_string()))?;
        let in_flight = GaugeGuard::new(self.counters.clone(), |counters| &counters.in_flight);
        Ok(RequestLease { _permit: permit, _in_flight: in_flight })
    }

    pub(super) fn record(&self, endpoint: usize, error: Option<&TransportError>) {
        if let Some(error) = error {
            self.counters.add_error(error);
        }
        self.endpoints.record(endpoint, error);
    }

    async fn receive_json(&self, endpoint: usize, request: &EngineRequest) -> Result<Value, TransportError> {
        let (began, after) = (Instant::now(), self.settings.reply);
        let received = tokio::time::timeout(after, async {
            let response = self.send(endpoint, request).await?;
            self.counters.add_first_part(began.elapsed());
            body(response, self.settings.max_reply).await
        });
        let bytes = received.await.unwrap_or(Err(TransportError::Timeout { phase: TimeoutPhase::Reply, after }))?;
        serde_json::from_slice(&bytes).map_err(|error| TransportError::Malformed(error.to_string()))
    }

    async fn open_stream(
        core: &Arc<Self>,
        endpoint: usize,
        request: &EngineRequest,
    ) -> Result<EventStream, TransportError> {
        let (began, after) = (Instant::now(), core.settings.first_event);
        let opened = tokio::time::timeout(after, async {
            let response = core.send(endpoint, request).await?;
            EventStream::open(core, endpoint, response).await
        });
        let stream = opened.await.unwrap_or(Err(TransportError::Timeout { phase: TimeoutPhase::FirstEvent, after }))?;
        core.counters.add_first_part(began.elapsed());
        Ok(stream)
    }

    /// Sends a request; any status but success is an error.
    async fn send(&self, endpoint: usize, request: &EngineRequest) -> Result<reqwest::Response, TransportError> {
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
        let response = sent.send().await.map_err(|error| TransportError::of_exchange(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let header = response.headers().get(reqwest::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = header.and_then(|header| retry_after(header, SystemTime::now()));
        // The status says enough where the body does not arrive.
        let message =
            body(response, MAX_ERROR).await.map_or_else(|_| "no message".to_owned(), |body| message_of(&body));
        Err(TransportError::Status { status: status.as_u16(), message, retry_after })
    }
}

/// A whole body.
async fn body(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, TransportError> {
    let mut bytes = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| TransportError::of_exchange(&error))? {
        if bytes.len() + part.len() > limit {
            return Err(TransportError::TooLarge(limit));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

#[cfg(feature = "tls")]
fn trusting(builder: reqwest::ClientBuilder, roots: Option<&[u8]>) -> Result<reqwest::ClientBuilder, TransportError> {
    let Some(roots) = roots else { return Ok(builder) };
    let certificates = reqwest::Certificate::from_pem_bundle(roots)
        .map_err(|error| TransportError::Setup(format!("the certificates cannot be used: {error}")))?;
    if certificates.is_empty() {
        return Err(TransportError::Setup("the file of certificates holds none (PEM)".to_owned()));
    }
    Ok(certificates.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate))
}

#[cfg(not(feature = "tls"))]
fn trusting(builder: reqwest::ClientBuilder, roots: Option<&[u8]>) -> Result<reqwest::ClientBuilder, TransportError> {
    match roots {
        None => Ok(builder),
        Some(_) => Err(TransportError::Setup("this build has no TLS, so certificates mean nothing to it".to_owned())),
    }
}
