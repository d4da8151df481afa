//! The addresses of an engine, and which of them is used.

use std::time::Duration;

use parking_lot::Mutex;
use rsd_core::pipeline::roles::RemoteEndpoint;
use tokio::time::Instant;

use super::{
    TransportErrorKind,
    breaker::{AttemptPass, BreakerSettings, CircuitBreaker},
};

/// Engines close a connection that was idle for five seconds, so none is used that was idle for this long.
pub(super) const IDLE: Duration = Duration::from_secs(4);

/// Equal engines at several addresses, in order of preference.
pub(super) struct EngineEndpoints(Vec<EngineEndpoint>);

struct EngineEndpoint {
    url: String,
    breaker: Mutex<CircuitBreaker>,
    last_failure: Mutex<String>,
    /// When a whole reply was received, whose connection is idle since then.
    last_reply: Mutex<Option<Instant>>,
}

/// An attempt under way. Dropped before it is reported, it says nothing about the engine.
pub(super) struct EndpointAttempt<'a> {
    pub index: usize,
    endpoint: &'a EngineEndpoint,
    pass: Option<AttemptPass>,
}

impl EngineEndpoints {
    pub fn new(urls: &[String], settings: BreakerSettings) -> Self {
        let endpoint = |url: &String| EngineEndpoint {
            url: url.trim_end_matches('/').to_owned(),
            breaker: Mutex::new(CircuitBreaker::new(settings)),
            last_failure: Mutex::default(),
            last_reply: Mutex::default(),
        };
        Self(urls.iter().map(endpoint).collect())
    }

    pub fn url(&self, index: usize) -> &str {
        self.0.get(index).map_or("", |endpoint| &endpoint.url)
    }

    /// All addresses, for messages.
    pub fn urls(&self) -> String {
        self.0.iter().map(|endpoint| endpoint.url.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Begins an attempt at the first address that may be used, of those that were not tried yet if there is one.
    pub fn choose(&self, tried: &[usize]) -> Result<EndpointAttempt<'_>, TransportErrorKind> {
        let now = Instant::now();
        let fresh = (0..self.0.len()).filter(|index| !tried.contains(index));
        let order = fresh.chain(tried.iter().copied());
        let (mut soonest, mut last) = (Duration::MAX, String::new());
        for index in order {
            let endpoint = &self.0[index];
            let mut breaker = endpoint.breaker.lock();
            if let Some(pass) = breaker.try_use(now) {
                return Ok(EndpointAttempt { index, endpoint, pass: Some(pass) });
            }
            soonest = soonest.min(breaker.remaining(now).unwrap_or_default());
            last.clone_from(&endpoint.last_failure.lock());
        }
        Err(TransportErrorKind::Unavailable { after: soonest, last })
    }

    /// A stream that had begun ended in an error.
    pub fn record_broken_stream(&self, index: usize, error: &TransportErrorKind) {
        if let Some(endpoint) = self.0.get(index) {
            endpoint.record(AttemptPass::ORDINARY, Some(error));
        }
    }

    /// A reply came to its end.
    pub fn record_end(&self, index: usize) {
        if let Some(endpoint) = self.0.get(index) {
            *endpoint.last_reply.lock() = Some(Instant::now());
        }
    }

    pub fn states(&self) -> Vec<RemoteEndpoint> {
        self.0
            .iter()
            .map(|endpoint| {
                let breaker = endpoint.breaker.lock();
                RemoteEndpoint { url: endpoint.url.clone(), usable: !breaker.is_open(), openings: breaker.openings() }
            })
            .collect()
    }
}

impl EngineEndpoint {
    fn record(&self, pass: AttemptPass, error: Option<&TransportErrorKind>) {
        let mut breaker = self.breaker.lock();
        match error {
            Some(error) if error.is_failure_of_engine() => {
                *self.last_failure.lock() = error.to_string();
                let was_open = breaker.is_open();
                breaker.failed(pass, Instant::now());
                if !was_open && breaker.is_open() {
                    tracing::warn!(url = self.url, %error, "this engine failed too often and is left alone for a while");
                }
            }
            _ => {
                if breaker.is_open() {
                    tracing::info!(url = self.url, "this engine answers again");
                }
                breaker.succeeded();
            }
        }
    }
}

impl EndpointAttempt<'_> {
    /// Whether the engine may be closing the connection that this attempt uses.
    pub fn may_be_stale(&self) -> bool {
        self.endpoint.last_reply.lock().is_some_and(|last| last.elapsed() <= IDLE)
    }

    pub fn report(&mut self, error: Option<&TransportErrorKind>) {
        if let Some(pass) = self.pass.take() {
            self.endpoint.record(pass, error);
        }
    }
}

impl Drop for EndpointAttempt<'_> {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.endpoint.breaker.lock().abandoned(pass, Instant::now());
        }
    }
}
