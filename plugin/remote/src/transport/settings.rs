//! Where an engine is and how it is asked.

use std::{fmt, time::Duration};

use super::breaker::BreakerSettings;

/// Addresses, key, time-outs and limits of one engine.
#[derive(Clone)]
pub struct TransportSettings {
    /// Base URLs of equal engines. The first one that is well is used.
    pub urls: Vec<String>,
    /// Sent as a bearer token.
    pub key: Option<String>,
    /// Names and values of headers that every request carries; those that the client sets itself stay as they are.
    pub headers: Vec<(String, String)>,
    /// Certificates in PEM to trust in addition to the usual ones.
    pub roots: Option<Vec<u8>>,
    /// Requests at the same time; further ones wait in order.
    pub max_concurrency: usize,
    /// Attempts after one that failed.
    pub retries: u32,
    /// The wait before the first retry; each further one is twice as long, and up to twice that by chance.
    pub first_wait: Duration,
    /// The longest wait before a retry. If an engine asks for a longer one, its error goes to the caller.
    pub longest_wait: Duration,
    /// When an address is left alone.
    pub breaker: BreakerSettings,
    /// Limit on the time for a connection.
    pub connect: Duration,
    /// Limit on the time until the first event of a stream.
    pub first_event: Duration,
    /// Limit on the time between two events.
    pub between_events: Duration,
    /// Limit on the time for a whole reply that is not a stream.
    pub reply: Duration,
    /// Limit on the bytes of a whole reply.
    pub max_reply: usize,
    /// Limit on the bytes of an event.
    pub max_event: usize,
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            key: None,
            headers: Vec::new(),
            roots: None,
            max_concurrency: 16,
            retries: 2,
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(10),
            breaker: BreakerSettings::default(),
            connect: Duration::from_secs(5),
            first_event: Duration::from_secs(60),
            between_events: Duration::from_secs(30),
            reply: Duration::from_secs(120),
            max_reply: 64 << 20,
            max_event: 4 << 20,
        }
    }
}

impl fmt::Debug for TransportSettings {
    /// Without the key and the headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportSettings").field("urls", &self.urls).finish_non_exhaustive()
    }
}
