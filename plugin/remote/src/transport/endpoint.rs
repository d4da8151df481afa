//! The addresses of an engine, and which of them is used.

use std::time::Duration;

use parking_lot::Mutex;
use rsd_core::pipeline::roles::RemoteEndpoint;
use tokio::time::Instant;

use super::{TransportError, breaker::CircuitBreaker};

/// Equal engines at several addresses, in order of preference.
pub(super) struct EngineEndpoints(Vec<EngineEndpoint>);

struct EngineEndpoint {
    url: String,
    breaker: Mutex<CircuitBreaker>,
    last_failure: Mutex<String>,
}

impl EngineEndpoints {
    pub fn new(urls: &[String]) -> Self {
        let endpoint = |url: &String| EngineEndpoint {
            url: url.trim_end_matches('/').to_owned(),
            breaker: Mutex::default(),
            last_failure: Mutex::default(),
        };
        Self(urls.iter().map(endpoint).collect())
    }

    pub fn url(&self, index: usize) -> &str {
        self.0.get(index).map_or("", |endpoint| &endpoint.url)
    }

    /// The first address that may be used, of those that were not tried yet if there is one.
    pub fn choose(&self, tried: &[usize]) -> Result<usize, TransportError> {
        let now = Instant::now();
        let fresh = (0..self.0.len()).filter(|index| !tried.contains(index));
        let order = fresh.chain(tried.iter().copied());
        let (mut soonest, mut last) = (Duration::MAX, String::new());
        for index in order {
            let mut breaker = self.0[index].breaker.lock();
            if breaker.try_use(now) {
                return Ok(index);
            }
            soonest = soonest.min(breaker.remaining(now).unwrap_or_default());
            last.clone_from(&self.0[index].last_failure.lock());
        }
        Err(TransportError::Unavailable { after: soonest, last })
    }

    pub fn record(&self, index: usize, error: Option<&TransportError>) {
        let Some(endpoint) = self.0.get(index) else { return };
        let mut breaker = endpoint.breaker.lock();
        match error {
            Some(error) if error.is_failure_of_engine() => {
                *endpoint.last_failure.lock() = error.to_string();
                let was_open = breaker.is_open();
                breaker.failed(Instant::now());
                if !was_open && breaker.is_open() {
                    tracing::warn!(url = endpoint.url, %error, "this engine failed too often and is left alone for a while");
                }
            }
            _ => {
                if breaker.is_open() {
                    tracing::info!(url = endpoint.url, "this engine answers again");
                }
                breaker.succeeded();
            }
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
