//! Counts what went to an engine and what came back.

use std::{
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use rsd_protocol::metrics::REMOTE_ERRORS;

use super::TransportError;

/// Counters of one engine, from its start.
#[derive(Debug, Default)]
pub(super) struct TrafficCounters {
    pub requests: AtomicU64,
    pub retries: AtomicU64,
    pub failovers: AtomicU64,
    errors: [AtomicU64; REMOTE_ERRORS.len()],
    first_parts: AtomicU64,
    first_part_micros: AtomicU64,
    pub waiting: AtomicU64,
    pub in_flight: AtomicU64,
}

impl TrafficCounters {
    pub fn add_error(&self, error: &TransportError) {
        self.errors[error.kind()].fetch_add(1, Relaxed);
    }

    /// The first part of a reply came after this time.
    pub fn add_first_part(&self, after: Duration) {
        self.first_parts.fetch_add(1, Relaxed);
        self.first_part_micros.fetch_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    pub fn errors(&self) -> Vec<(&'static str, u64)> {
        REMOTE_ERRORS.iter().copied().zip(self.errors.iter().map(|count| count.load(Relaxed))).collect()
    }

    pub fn first_parts(&self) -> (u64, f64) {
        (self.first_parts.load(Relaxed), self.first_part_micros.load(Relaxed) as f64 / 1e6)
    }
}

/// Raises a gauge for as long as it lives.
pub(super) struct GaugeGuard {
    counters: Arc<TrafficCounters>,
    gauge: fn(&TrafficCounters) -> &AtomicU64,
}

impl GaugeGuard {
    pub fn new(counters: Arc<TrafficCounters>, gauge: fn(&TrafficCounters) -> &AtomicU64) -> Self {
        gauge(&counters).fetch_add(1, Relaxed);
        Self { counters, gauge }
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        (self.gauge)(&self.counters).fetch_sub(1, Relaxed);
    }
}
