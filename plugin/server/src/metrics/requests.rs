//! Metrics of requests as clients see them: how long they took and how they ended.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, Result};
use rsd_protocol::metrics::{FIRST_TOKEN, INTER_TOKEN, REQUEST_SECONDS, REQUESTS};

use super::collector_registry::CollectorRegistry;

/// How a request for an answer ended, in the order of the values of the label `outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestOutcome {
    /// The client received its answer.
    Completed,
    /// The client disconnected, or the server stopped.
    Cancelled,
    /// A model or the server failed.
    Failed,
    /// The request was invalid, or the queue was full.
    Refused,
}

/// Metrics of requests.
#[derive(Debug)]
pub(crate) struct RequestMetrics {
    outcomes: [IntCounter; 4],
    first_token: Histogram,
    inter_token: Histogram,
    seconds: Histogram,
}

impl RequestMetrics {
    pub(super) fn new(register: &CollectorRegistry<'_>) -> Result<Self> {
        Ok(Self {
            outcomes: register.labeled(&REQUESTS)?,
            first_token: register.single(&FIRST_TOKEN)?,
            inter_token: register.single(&INTER_TOKEN)?,
            seconds: register.single(&REQUEST_SECONDS)?,
        })
    }

    /// The client receives the first text of its answer, this long after the request arrived.
    pub fn record_first_text(&self, after: Duration) {
        self.first_token.observe(after.as_secs_f64());
    }

    /// Tokens follow the ones before; they share the time since then.
    pub fn record_tokens(&self, tokens: usize, within: Duration) {
        let each = within.as_secs_f64() / tokens.max(1) as f64;
        for _ in 0..tokens {
            self.inter_token.observe(each);
        }
    }

    /// A request ends, this long after it arrived.
    pub fn record_end(&self, outcome: RequestOutcome, after: Duration) {
        self.outcomes[outcome as usize].inc();
        if outcome == RequestOutcome::Completed {
            self.seconds.observe(after.as_secs_f64());
        }
    }
}
