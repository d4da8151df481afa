//! Times one request for an answer, from its arrival to its end, and counts its outcome.

use std::{convert::Infallible, sync::Arc};

use axum::{extract::FromRequestParts, http::request::Parts};
use tokio::time::Instant;

use crate::{
    app::AppState,
    metrics::{Metrics, RequestOutcome},
};

/// The times and the outcome of one request. The outcome is counted exactly once, when the timer is dropped.
///
/// As an extractor it must come before the body, so that requests with an invalid body are counted too.
pub(crate) struct RequestTimer {
    metrics: Option<Arc<Metrics>>,
    arrived: Instant,
    /// When the current choice received tokens last.
    last_tokens: Option<Instant>,
    has_text: bool,
    outcome: RequestOutcome,
}

impl RequestTimer {
    /// Starts to time a request that arrives now. It counts as refused until it is admitted.
    pub fn start(metrics: Option<&Arc<Metrics>>) -> Self {
        Self {
            metrics: metrics.cloned(),
            arrived: Instant::now(),
            last_tokens: None,
            has_text: false,
            outcome: RequestOutcome::Refused,
        }
    }

    /// The request was admitted. From now on it counts as cancelled, unless another outcome is set.
    pub fn admit(&mut self) {
        self.outcome = RequestOutcome::Cancelled;
    }

    /// The next choice begins.
    pub fn begin_choice(&mut self) {
        self.last_tokens = None;
    }

    /// The answer grew by this many tokens; `visible` says whether text was sent for them.
    pub fn record_tokens(&mut self, tokens: usize, visible: bool) {
        let Some(metrics) = &self.metrics else { return };
        let now = Instant::now();
        if visible && !self.has_text {
            self.has_text = true;
            metrics.requests.record_first_text(now - self.arrived);
        }
        if tokens == 0 {
            return;
        }
        if let Some(last) = self.last_tokens {
            metrics.requests.record_tokens(tokens, now - last);
        }
        self.last_tokens = Some(now);
    }

    pub fn set_outcome(&mut self, outcome: RequestOutcome) {
        self.outcome = outcome;
    }
}

impl Drop for RequestTimer {
    fn drop(&mut self) {
        if let Some(metrics) = &self.metrics {
            metrics.requests.record_end(self.outcome, self.arrived.elapsed());
        }
    }
}

impl FromRequestParts<Arc<AppState>> for RequestTimer {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, app: &Arc<AppState>) -> Result<Self, Infallible> {
        Ok(Self::start(app.metrics.as_ref()))
    }
}
