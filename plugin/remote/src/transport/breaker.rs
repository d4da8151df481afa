//! Leaves an address alone for a while after it failed again and again.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row after which an address is left alone.
const FAILURES: u32 = 5;
/// The first wait; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Whether an address may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BreakerState {
    /// It is used.
    Closed,
    /// It is left alone until then. Afterwards one request tries it, and further ones wait as long again.
    Open { until: Instant },
}

/// Counts the failures of an address.
#[derive(Debug)]
pub(super) struct CircuitBreaker {
    state: BreakerState,
    failures: u32,
    wait: Duration,
    openings: u64,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self { state: BreakerState::Closed, failures: 0, wait: FIRST_WAIT, openings: 0 }
    }
}

impl CircuitBreaker {
    /// Takes the right to send a request; false while the address is left alone.
    pub fn try_use(&mut self, now: Instant) -> bool {
        match self.state {
            BreakerState::Closed => true,
            BreakerState::Open { until } if now < until => false,
            BreakerState::Open { .. } => {
                // One request tries. If it is given up without a result, the next one tries after the wait.
                self.state = BreakerState::Open { until: now + self.wait };
                true
            }
        }
    }

    /// How long the address is still left alone.
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        match self.state {
            BreakerState::Closed => None,
            BreakerState::Open { until } => Some(until.saturating_duration_since(now)),
        }
    }

    /// A request succeeded.
    pub fn succeeded(&mut self) {
        *self = Self { openings: self.openings, ..Self::default() };
    }

    /// A request failed.
    pub fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        match self.state {
            BreakerState::Closed if self.failures < FAILURES => {}
            BreakerState::Closed => {
                self.openings += 1;
                self.state = BreakerState::Open { until: now + self.wait };
            }
            BreakerState::Open { .. } => {
                self.wait = (self.wait * 2).min(LONGEST_WAIT);
                self.state = BreakerState::Open { until: now + self.wait };
            }
        }
    }

    /// Whether the address is left alone.
    pub fn is_open(&self) -> bool {
        self.state != BreakerState::Closed
    }

    /// How often it was closed before and is open now, or was.
    pub fn openings(&self) -> u64 {
        self.openings
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_a_success() {
        let now = Instant::now();
        let mut breaker = CircuitBreaker::default();
        for _ in 1..FAILURES {
            breaker.failed(now);
        }
        breaker.succeeded();
        for _ in 1..FAILURES {
            breaker.failed(now);
        }
        assert!(breaker.try_use(now) && !breaker.is_open(), "a success between them starts the count anew");
        breaker.failed(now);
        assert!(!breaker.try_use(now) && breaker.is_open());
        let later = now + FIRST_WAIT;
        assert!(breaker.try_use(later));
        assert!(!breaker.try_use(later), "one request tries at a time");
        assert!(breaker.try_use(later + FIRST_WAIT), "a try without a result does not block the address for ever");
        breaker.succeeded();
        assert!(breaker.try_use(later) && !breaker.is_open());
        assert_eq!(breaker.openings(), 1);
    }

    proptest! {
        #[test]
        fn whatever_happens_an_open_breaker_lets_a_request_through_after_its_wait(
            events in proptest::collection::vec((0u8..3, 0u64..40), 0..60),
        ) {
            let mut now = Instant::now();
            let mut breaker = CircuitBreaker::default();
            for (event, seconds) in events {
                now += Duration::from_secs(seconds);
                match event {
                    0 => breaker.failed(now),
                    1 => breaker.succeeded(),
                    _ => { breaker.try_use(now); }
                }
                let remaining = breaker.remaining(now).unwrap_or_default();
                prop_assert!(remaining <= LONGEST_WAIT);
                prop_assert_eq!(breaker.is_open(), breaker.remaining(now).is_some());
            }
            prop_assert!(breaker.try_use(now + LONGEST_WAIT));
        }
    }
}
