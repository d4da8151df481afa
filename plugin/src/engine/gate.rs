//! Lets a run go ahead of its verdicts by a bounded number of steps, and stops it within one token.
//!
//! The sampler waits here on the engine's own thread. That is sound because an engine serves one request at a
//! time: nobody else's tokens are held up, and waiting costs nothing.

use parking_lot::{Condvar, Mutex};

#[derive(Debug, Default)]
struct State {
    accepted: usize,
    stopped: bool,
}

/// The gate between a run and its owner.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    /// One more step was accepted.
    pub(super) fn accept(&self) {
        self.state.lock().accepted += 1;
        self.changed.notify_all();
    }

    /// The run must end at its next token.
    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Waits until a run that has published `published` steps may go on; false when it must end instead.
    pub(super) fn pass(&self, published: usize, lookahead: usize) -> bool {
        let mut state = self.state.lock();
        while !state.stopped && published.saturating_sub(state.accepted) > lookahead {
            self.changed.wait(&mut state);
        }
        !state.stopped
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread, time::Duration};

    use super::*;

    #[test]
    fn a_run_may_be_ahead_by_the_lookahead_and_no_more() {
        let gate = Gate::default();
        assert!(gate.pass(1, 1));
        gate.accept();
        assert!(gate.pass(1, 0));
        assert!(gate.pass(2, 1));
        assert!(gate.pass(9, usize::MAX));
    }

    #[test]
    fn a_waiting_run_is_woken_by_a_verdict_and_by_a_stop() {
        for (wake, goes_on) in [(Gate::accept as fn(&Gate), true), (Gate::stop as fn(&Gate), false)] {
            let gate = Arc::new(Gate::default());
            let waiting = thread::spawn({
                let gate = gate.clone();
                move || gate.pass(1, 0)
            });
            thread::sleep(Duration::from_millis(20));
            assert!(!waiting.is_finished());
            wake(&gate);
            assert_eq!(waiting.join().unwrap(), goes_on);
        }
    }
}
