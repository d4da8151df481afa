//! The delay before the next attempt: it doubles up to a limit and has jitter, so that many consoles do not return to a
//! restarted server at the same moment.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(15);

/// Counts consecutive failures.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    jitter: fastrand::Rng,
}

impl Backoff {
    /// Reports a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Reports a failure and returns the delay before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        let wait = FIRST.saturating_mul(1_u32 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        wait.mul_f64(0.8 + 0.2 * self.jitter.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_begin_again_after_a_success() {
        let mut backoff = Backoff { failures: 0, jitter: fastrand::Rng::with_seed(7) };
        let waits: Vec<_> = (0..40).map(|_| backoff.next_delay()).collect();
        for (n, wait) in waits.iter().enumerate() {
            let full = FIRST.saturating_mul(1 << n.min(16)).min(LONGEST);
            assert!(*wait <= full && *wait >= full.mul_f64(0.79), "try {n}: {wait:?} of {full:?}");
        }
        assert!(waits.iter().all(|wait| *wait <= LONGEST));
        backoff.reset();
        assert!(backoff.next_delay() <= FIRST);
    }
}
