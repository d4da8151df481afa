//! Leaves an address alone for a while after it failed again and again; then one request tries it.

use std::time::Duration;

use tokio::time::Instant;

/// When an address is left alone, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row after which it is left alone; at least 1.
    pub failures: u32,
    /// The first wait; each further one is twice as long.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(30) }
    }
}

/// Whether an address may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BreakerState {
    /// It is used.
    Closed,
    /// It is left alone until then.
    Open { until: Instant },
    /// One request tries it; others still leave it alone.
    HalfOpen,
}

/// The right to send one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AttemptPass {
    /// Whether it is the request that tries an address that was left alone.
    probe: bool,
}

impl AttemptPass {
    /// Of a request that began while the address was used.
    pub const ORDINARY: Self = Self { probe: false };
}

/// Counts the failures of an address.
#[derive(Debug)]
pub(super) struct CircuitBreaker {
    settings: BreakerSettings,
    state: BreakerState,
    failures: u32,
    wait: Duration,
    openings: u64,
}

impl CircuitBreaker {
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: BreakerState::Closed, failures: 0, wait: settings.first_wait, openings: 0 }
    }

    /// Takes the right to send a request; `None` while the address is left alone.
    pub fn try_use(&mut self, now: Instant) -> Option<AttemptPass> {
        match self.state {
            BreakerState::Closed => Some(AttemptPass::ORDINARY),
            BreakerState::Open { until } if now >= until => {
                self.state = BreakerState::HalfOpen;
                Some(AttemptPass { probe: true })
            }
            BreakerState::Open { .. } | BreakerState::HalfOpen => None,
        }
    }

    /// How long the address is still left alone. While a request tries it, nobody knows, and this is the last wait.
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        match self.state {
            BreakerState::Closed => None,
            BreakerState::Open { until } => Some(until.saturating_duration_since(now)),
            BreakerState::HalfOpen => Some(self.wait),
        }
    }

    /// A request succeeded.
    pub fn succeeded(&mut self) {
        *self = Self { openings: self.openings, ..Self::new(self.settings) };
    }

    /// A request failed.
    pub fn failed(&mut self, pass: AttemptPass, now: Instant) {
        match self.state {
            BreakerState::Closed => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= self.settings.failures {
                    self.openings += 1;
                    self.state = BreakerState::Open { until: now + self.wait };
                }
            }
            BreakerState::HalfOpen if pass.probe => {
                self.wait = (self.wait * 2).min(self.settings.longest_wait);
                self.state = BreakerState::Open { until: now + self.wait };
            }
            // It began before the address was left alone: many at once must not lengthen the wait.
            BreakerState::HalfOpen | BreakerState::Open { .. } => {}
        }
    }

    /// A request was given up without a result. If it was to try the address, the next one does.
    pub fn abandoned(&mut self, pass: AttemptPass, now: Instant) {
        if pass.probe && self.state == BreakerState::HalfOpen {
            self.state = BreakerState::Open { until: now };
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

    const SETTINGS: BreakerSettings =
        BreakerSettings { failures: 3, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(5) };

    fn opened(now: Instant) -> CircuitBreaker {
        let mut breaker = CircuitBreaker::new(SETTINGS);
        for _ in 0..3 {
            let pass = breaker.try_use(now).unwrap();
            breaker.failed(pass, now);
        }
        assert!(breaker.is_open());
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_a_success() {
        let now = Instant::now();
        let mut breaker = CircuitBreaker::new(SETTINGS);
        for _ in 0..2 {
            for _ in 0..2 {
                breaker.failed(AttemptPass::ORDINARY, now);
            }
            assert!(!breaker.is_open());
            breaker.succeeded();
        }
        let mut breaker = opened(now);
        assert!(breaker.try_use(now + Duration::from_secs(1)).is_some());
        breaker.succeeded();
        assert!(breaker.try_use(now).is_some() && !breaker.is_open());
        assert_eq!(breaker.openings(), 1);
    }

    #[test]
    fn waits_double_up_to_a_limit_and_one_request_tries_at_a_time() {
        let mut now = Instant::now();
        let mut breaker = opened(now);
        for seconds in [1, 2, 4, 5, 5] {
            let wait = Duration::from_secs(seconds);
            assert_eq!(breaker.remaining(now), Some(wait));
            assert_eq!(breaker.try_use(now + wait.mul_f64(0.999)), None);
            now += wait;
            let probe = breaker.try_use(now).unwrap();
            assert_eq!(breaker.try_use(now + Duration::from_secs(1000)), None, "one request only");
            breaker.failed(probe, now);
        }
    }

    #[test]
    fn requests_that_were_under_way_when_it_opened_do_not_lengthen_the_wait() {
        let now = Instant::now();
        let mut breaker = opened(now);
        for _ in 0..50 {
            breaker.failed(AttemptPass::ORDINARY, now + Duration::from_millis(500));
        }
        assert!(breaker.try_use(now + Duration::from_secs(1)).is_some());
    }

    proptest! {
        /// Whatever happens: at most one probe at a time, nothing passes while it is open, and it never stays shut for
        /// longer than the longest wait once no request is under way.
        #[test]
        fn it_lets_through_what_its_state_says(events in prop::collection::vec((0u8..4, 0u64..1500), 0..200)) {
            let mut now = Instant::now();
            let mut breaker = CircuitBreaker::new(SETTINGS);
            let mut under_way: Vec<AttemptPass> = Vec::new();
            for (event, pause) in events {
                now += Duration::from_millis(pause);
                let (was_open, remaining) = (breaker.is_open(), breaker.remaining(now).unwrap_or_default());
                prop_assert!(remaining <= SETTINGS.longest_wait);
                if event == 0 {
                    let probing = under_way.iter().any(|pass| pass.probe) && was_open;
                    match breaker.try_use(now) {
                        Some(pass) => {
                            prop_assert_eq!(pass.probe, was_open);
                            prop_assert!(!probing && (remaining.is_zero() || !was_open));
                            under_way.push(pass);
                        }
                        None => prop_assert!(was_open && (probing || !remaining.is_zero())),
                    }
                } else if !under_way.is_empty() {
                    let pass = under_way.remove(usize::try_from(pause).unwrap() % under_way.len());
                    match event {
                        // A success while another request tries would end the try; the client cannot tell them apart either.
                        1 if pass.probe || !was_open => breaker.succeeded(),
                        2 => breaker.failed(pass, now),
                        _ => breaker.abandoned(pass, now),
                    }
                }
            }
            for pass in under_way {
                breaker.abandoned(pass, now);
            }
            prop_assert!(breaker.try_use(now + SETTINGS.longest_wait).is_some());
        }
    }
}
