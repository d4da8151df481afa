//! What is known about a scorer: from the steps that it scored, and from a probe where that is too long ago.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rsd_core::pipeline::roles::ModelHealth;

/// After this time without an answer the scorer is asked again.
const FRESH: Duration = Duration::from_secs(5);

/// The health of a scorer. Nothing here waits for it.
#[derive(Default)]
pub(crate) struct ScorerHealth(Mutex<KnownHealth>);

#[derive(Default)]
struct KnownHealth {
    health: ModelHealth,
    /// When the scorer last answered or failed.
    known: Option<Instant>,
    probing: bool,
}

impl ScorerHealth {
    pub fn current(&self) -> ModelHealth {
        self.with(|known| known.health)
    }

    /// Whether the caller should probe the scorer now and then call [`Self::learn`]: what is known is old, and no other
    /// probe is under way.
    pub fn claim_probe(&self) -> bool {
        self.with(|known| {
            let due = !known.probing && known.known.is_none_or(|at| at.elapsed() >= FRESH);
            known.probing |= due;
            due
        })
    }

    /// Notes whether the scorer answered.
    pub fn learn(&self, answered: bool) {
        self.with(|known| {
            known.health.deaths += u64::from(known.health.running && !answered);
            known.health.running = answered;
            known.known = Some(Instant::now());
            known.probing = false;
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut KnownHealth) -> T) -> T {
        change(&mut self.0.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_probes_and_none_while_the_last_answer_is_fresh() {
        let health = ScorerHealth::default();
        assert_eq!(health.current(), ModelHealth { running: true, deaths: 0 });
        assert_eq!([health.claim_probe(), health.claim_probe()], [true, false]);
        for (answered, deaths) in [(false, 1), (false, 1), (true, 1), (false, 2)] {
            health.learn(answered);
            assert_eq!(health.current(), ModelHealth { running: answered, deaths });
            assert!(!health.claim_probe());
        }
        health.with(|known| known.known = Instant::now().checked_sub(FRESH));
        assert_eq!([health.claim_probe(), health.claim_probe()], [true, false]);
    }
}
