//! Lets a run be a bounded number of steps ahead of the decisions, and stops a run within one token.
//!
//! The sampler waits here on the engine thread. That is sound because an engine serves one request at a time, so
//! waiting delays no other request.

use parking_lot::{Condvar, Mutex};

#[derive(Debug, Default)]
struct GateState {
    accepted: usize,
    stopped: bool,
}

/// The gate between a run and its caller.
#[derive(Debug, Default)]
pub(super) struct StepGate {
    state: Mutex<GateState>,
    changed: Condvar,
}

impl StepGate {
    /// Records that one more step was accepted.
    pub(super) fn accept(&self) {
        self.state.lock().accepted += 1;
        self.changed.notify_all();
    }

    /// Makes the run end at its next token.
    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// Waits until a run that has sent `sent` steps may continue; false if it must end instead.
    pub(super) fn wait_to_continue(&self, sent: usize, lookahead: usize) -> bool {
        let mut state = self.state.lock();
        while !state.stopped && sent.saturating_sub(state.accepted) > lookahead {
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
        let gate = StepGate::default();
        assert!(gate.wait_to_continue(1, 1));
        gate.accept();
        assert!(gate.wait_to_continue(1, 0));
        assert!(gate.wait_to_continue(2, 1));
        assert!(gate.wait_to_continue(9, usize::MAX));
    }

    #[test]
    fn a_waiting_run_is_woken_by_a_decision_and_by_a_stop() {
        for (wake, continues) in [(StepGate::accept as fn(&StepGate), true), (StepGate::stop as fn(&StepGate), false)] {
            let gate = Arc::new(StepGate::default());
            let waiting = thread::spawn({
                let gate = gate.clone();
                move || gate.wait_to_continue(1, 0)
            });
            thread::sleep(Duration::from_millis(20));
            assert!(!waiting.is_finished());
            wake(&gate);
            assert_eq!(waiting.join().unwrap(), continues);
        }
    }
}
