//! How long to wait before the next try: doubling, capped, and with jitter, so that many consoles do not return to a
//! restarted server in step.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(15);

/// Counts failures in a row.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It worked: the next failure is the first again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// It failed: how long to wait.
    pub fn wait(&mut self) -> Duration {
        let wait = FIRST.saturating_mul(1_u32 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        wait.mul_f64(0.8 + 0.2 * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..40).map(|_| backoff.wait()).collect();
        for (n, wait) in waits.iter().enumerate() {
            let full = FIRST.saturating_mul(1 << n.min(16)).min(LONGEST);
            assert!(*wait <= full && *wait >= full.mul_f64(0.79), "try {n}: {wait:?} of {full:?}");
        }
        assert!(waits.iter().all(|wait| *wait <= LONGEST));
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
    }
}
