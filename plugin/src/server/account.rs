//! One request for an answer, from its arrival to its end: its clock, and its one entry among the outcomes.

use std::sync::Arc;

use tokio::time::Instant;

use crate::metrics::{Metrics, Outcome};

/// The account of one request. It is entered when it is dropped, exactly once, whatever happens.
pub(super) struct Account {
    metrics: Option<Arc<Metrics>>,
    arrived: Instant,
    /// When this choice grew last.
    grew: Option<Instant>,
    has_text: bool,
    outcome: Outcome,
}

impl Account {
    /// A request arrives. Unless more becomes of it, it was refused.
    pub(super) fn open(metrics: Option<&Arc<Metrics>>) -> Self {
        Self {
            metrics: metrics.cloned(),
            arrived: Instant::now(),
            grew: None,
            has_text: false,
            outcome: Outcome::Refused,
        }
    }

    /// It was let in: from now on it ends with an outcome that is said, or was cancelled.
    pub(super) fn admitted(&mut self) {
        self.outcome = Outcome::Cancelled;
    }

    /// The next choice begins.
    pub(super) fn begin_choice(&mut self) {
        self.grew = None;
    }

    /// The answer grew by so many tokens, which show as text or not yet.
    pub(super) fn grow(&mut self, tokens: usize, shows: bool) {
        let Some(metrics) = &self.metrics else { return };
        let now = Instant::now();
        if shows && !self.has_text {
            self.has_text = true;
            metrics.requests.first_text(now - self.arrived);
        }
        if tokens == 0 {
            return;
        }
        if let Some(before) = self.grew {
            metrics.requests.tokens(tokens, now - before);
        }
        self.grew = Some(now);
    }

    /// How it ends.
    pub(super) fn end(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if let Some(metrics) = &self.metrics {
            metrics.requests.ended(self.outcome, self.arrived.elapsed());
        }
    }
}
