//! Everything that is known about one server, and whether it is current.

use std::collections::VecDeque;

use rsd_protocol::{
    event::{AdminAttempt, AdminEvent},
    metrics,
    preview::{PolicyPreview, PredictedPoint},
    settings::{PolicyRevision, PolicyView, ScheduledRevert},
    status::ServerStatus,
    trace::{RequestTrace, TraceSummary},
};

use super::{
    curve::interpolate,
    metric_history::{HistorySpan, MetricHistory},
    summary::MetricSummary,
};
use crate::{
    clock, exposition,
    source::{ChannelFailure, SourceChannel, SourceUpdate},
};

/// Points of the graphs that are stored.
const MAX_POINTS: usize = 600;
/// Time without an answer after which the data are shown as old, unless the server is asked less often.
pub const STALE_AFTER_MS: u64 = 7_000;

/// The state of one source: a server's admin API or its metrics.
#[derive(Debug, Clone)]
pub struct ChannelHealth {
    pub last_ok_ms: Option<u64>,
    /// Why the last request failed, if it did.
    pub failure: Option<ChannelFailure>,
    /// Milliseconds without an answer after which the data are shown as old.
    pub stale_after_ms: u64,
}

impl Default for ChannelHealth {
    fn default() -> Self {
        Self { last_ok_ms: None, failure: None, stale_after_ms: STALE_AFTER_MS }
    }
}

/// Whether the data are current.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerConnection {
    /// There was no answer yet.
    Connecting,
    Live,
    /// There was neither an answer nor a failure for this number of milliseconds.
    Stale(u64),
    /// The last request failed.
    Down {
        /// Milliseconds until the next attempt.
        retry_ms: u64,
        cause: String,
    },
}

impl ChannelHealth {
    fn connection(&self, now_ms: u64) -> ServerConnection {
        match (&self.failure, self.last_ok_ms) {
            (Some(failure), _) => ServerConnection::Down {
                retry_ms: failure.retry_at_ms.saturating_sub(now_ms),
                cause: failure.cause.clone(),
            },
            (None, None) => ServerConnection::Connecting,
            (None, Some(at)) if now_ms.saturating_sub(at) > self.stale_after_ms => ServerConnection::Stale(now_ms - at),
            (None, Some(_)) => ServerConnection::Live,
        }
    }

    fn succeeded(&mut self, at_ms: u64) {
        self.last_ok_ms = self.last_ok_ms.max(Some(at_ms));
        self.failure = None;
    }
}

/// An event that the graphs mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphMark {
    /// The policy changed to this revision.
    Revision(u64),
    /// The server was restarted.
    Restart,
}

/// One point of the graphs.
#[derive(Debug, Clone, Copy)]
pub struct SummaryPoint {
    /// The numbers of the window that ends at this point.
    pub summary: MetricSummary,
    /// What happened since the point before.
    pub mark: Option<GraphMark>,
}

/// Everything that is known about one server.
#[derive(Debug, Clone, Default)]
pub struct ServerState {
    pub name: String,
    /// Whether its admin API is known.
    pub has_admin: bool,
    pub admin: ChannelHealth,
    pub metrics: ChannelHealth,
    pub readings: MetricHistory,
    /// The graphs' points, oldest first.
    pub points: VecDeque<SummaryPoint>,
    pub status: Option<ServerStatus>,
    /// The policy and its `ETag`, which a change must name.
    pub policy: Option<(String, PolicyView)>,
    /// Revisions, newest first.
    pub history: Vec<PolicyRevision>,
    /// The prediction for other thresholds.
    pub preview: Option<PolicyPreview>,
    /// Recent requests, newest first.
    pub traces: Vec<TraceSummary>,
    /// The request that was fetched last.
    pub trace: Option<RequestTrace>,
    /// Recent attempts to change something, newest first.
    pub audit: Vec<AdminAttempt>,
    /// Invalid lines of the last scrape.
    pub bad_lines: usize,
    /// Restarts since the console was started.
    pub restarts: u32,
    /// Acceptance rates (steps) before the console was started, from Prometheus.
    pub past: Vec<(u64, f64)>,
    /// When it started, according to its metrics.
    started: Option<f64>,
    /// By how many milliseconds its clock is ahead of the console's.
    ahead_ms: i64,
    /// The change that it will revert, and when by the console's clock. Converted only once, because the server's clock
    /// may jump meanwhile.
    reverts: Option<(ScheduledRevert, u64)>,
}

impl ServerState {
    /// A server about which nothing is known yet.
    #[must_use]
    pub fn new(name: impl Into<String>, has_admin: bool) -> Self {
        Self { name: name.into(), has_admin, ..Self::default() }
    }

    /// Takes what a source fetched.
    pub fn receive(&mut self, at_ms: u64, update: SourceUpdate, window_ms: u64) {
        match update {
            SourceUpdate::Metrics(text) => self.take_metrics(at_ms, &text, window_ms),
            SourceUpdate::Failed(failure) => match failure.channel {
                SourceChannel::Admin => self.admin.failure = Some(failure),
                SourceChannel::Metrics => self.metrics.failure = Some(failure),
                SourceChannel::Prometheus => {}
            },
            SourceUpdate::Past(past) => self.past = past,
            SourceUpdate::Answer { .. } | SourceUpdate::Fleet(_) => {}
            SourceUpdate::Event(event) => self.take_event(*event),
            other => {
                self.admin.succeeded(at_ms);
                match other {
                    SourceUpdate::Status(status) => {
                        self.ahead_ms = clock::ahead_ms(status.now_ms, at_ms);
                        self.status = Some(*status);
                    }
                    SourceUpdate::Policy { etag, view } => self.take_policy(etag, *view),
                    SourceUpdate::History(history) => self.history = history,
                    SourceUpdate::Preview(preview) => self.preview = Some(*preview),
                    SourceUpdate::Traces(traces) => self.traces = traces,
                    SourceUpdate::Trace(trace) => self.trace = Some(*trace),
                    SourceUpdate::Audit(audit) => self.audit = audit,
                    _ => {}
                }
            }
        }
    }

    fn take_policy(&mut self, etag: String, view: PolicyView) {
        let known = self.reverts.take();
        self.reverts = view.reverts.clone().map(|reverts| match known {
            Some(known) if known.0 == reverts => known,
            _ => {
                let at_ms = self.to_console_clock(reverts.at_ms);
                (reverts, at_ms)
            }
        });
        self.policy = Some((etag, view));
    }

    fn take_event(&mut self, event: AdminEvent) {
        match event {
            AdminEvent::Policy(revision)
                if self.history.first().is_none_or(|newest| newest.revision < revision.revision) =>
            {
                self.history.insert(0, *revision);
                self.history.truncate(1000);
            }
            AdminEvent::Attempt(attempt) if self.audit.first() != Some(&attempt) => {
                self.audit.insert(0, attempt);
                self.audit.truncate(500);
            }
            _ => {}
        }
    }

    fn take_metrics(&mut self, at_ms: u64, text: &str, window_ms: u64) {
        self.metrics.succeeded(at_ms);
        let found = exposition::parse(text);
        self.bad_lines = found.bad_lines;
        let outcome = self.readings.record_scrape(at_ms, &found);
        let summary = MetricSummary::from_history(&self.readings, at_ms, HistorySpan::Newest(window_ms));
        let started = self.readings.latest(&metrics::START_TIME, &[]);
        let restarted =
            outcome.restarted || matches!((self.started, started), (Some(old), Some(new)) if (new - old).abs() > 1.0);
        self.started = started.or(self.started);
        self.restarts += u32::from(restarted);
        let mark = if restarted {
            Some(GraphMark::Restart)
        } else {
            let before = self.points.back().and_then(|point| point.summary.revision);
            match (before, summary.revision) {
                (Some(before), Some(now)) if before < now => Some(GraphMark::Revision(whole(now))),
                _ => None,
            }
        };
        if self.points.len() == MAX_POINTS {
            self.points.pop_front();
        }
        self.points.push_back(SummaryPoint { summary, mark });
    }

    /// Whether the data are current: by the admin API if it is known, else by the metrics.
    #[must_use]
    pub fn connection(&self, now_ms: u64) -> ServerConnection {
        let (admin, metrics) = (self.admin.connection(now_ms), self.metrics.connection(now_ms));
        if self.has_admin && admin != ServerConnection::Live {
            admin
        } else if self.has_admin {
            ServerConnection::Live
        } else {
            metrics
        }
    }

    /// What is wrong with the metrics of a server whose admin API answers.
    #[must_use]
    pub fn metrics_problem(&self, now_ms: u64) -> Option<String> {
        match self.metrics.connection(now_ms) {
            ServerConnection::Down { cause, .. } if self.has_admin => Some(cause),
            ServerConnection::Stale(age) if self.has_admin => Some(format!("no metrics for {} s", age / 1000)),
            _ => None,
        }
    }

    /// The newest numbers.
    #[must_use]
    pub fn summary(&self) -> MetricSummary {
        self.points.back().map(|point| point.summary).unwrap_or_default()
    }

    /// The currency of the prices, if the target has one.
    #[must_use]
    pub fn currency(&self) -> Option<&str> {
        self.readings.newest_label(&metrics::TARGET_ONLY_COST, "currency")
    }

    /// Whether no step was decided and no request ended since the console was started.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        let none = |count: Option<f64>| count.unwrap_or(0.0) <= 0.0;
        let unused = |summary: &MetricSummary| none(summary.decided_steps) && none(summary.requests);
        self.points.iter().all(|point| unused(&point.summary)) && self.traces.is_empty()
    }

    /// The numbers of the window before this revision, and of one that lies after it and before the next revision.
    /// `None` if the console has not seen the change, or if there is no scrape after it yet.
    #[must_use]
    pub fn around_revision(&self, revision: u64, window_ms: u64) -> Option<[MetricSummary; 2]> {
        let changed = |point: &SummaryPoint| matches!(point.mark, Some(GraphMark::Revision(_)));
        let at = self.points.iter().position(|point| point.mark == Some(GraphMark::Revision(revision)))?;
        let before = self.points.get(at.checked_sub(1)?)?.summary;
        let next = self.points.iter().skip(at + 1).position(changed).map(|after| at + 1 + after);
        let last = self.points.get(next.unwrap_or(self.points.len()) - 1)?.summary;
        let since_ms = last.at_ms.saturating_sub(self.points.get(at)?.summary.at_ms);
        if since_ms >= window_ms {
            return Some([before, last]);
        }
        // The newest window reaches back over the change, so a shorter one is taken; earlier ones are not stored.
        (next.is_none() && since_ms > 0)
            .then(|| [before, MetricSummary::from_history(&self.readings, last.at_ms, HistorySpan::Newest(since_ms))])
    }

    /// Converts a time of the server to the console's clock.
    #[must_use]
    pub fn to_console_clock(&self, at_ms: u64) -> u64 {
        at_ms.saturating_add_signed(self.ahead_ms.saturating_neg())
    }

    /// The revision that will be reverted, and in how many seconds.
    #[must_use]
    pub fn pending_revert(&self, now_ms: u64) -> Option<(u64, u64)> {
        let (reverts, at_ms) = self.reverts.as_ref()?;
        Some((reverts.revision, at_ms.saturating_sub(now_ms).div_ceil(1000)))
    }

    /// Whether the token may change settings.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.may_write)
    }

    /// The active threshold, from the admin API or else from the metrics.
    #[must_use]
    pub fn delta(&self) -> Option<f64> {
        let active = self.policy.as_ref().map(|(_, view)| view.in_force.delta);
        active.or_else(|| self.status.as_ref().map(|status| status.in_force.delta)).or_else(|| self.summary().delta)
    }

    /// The prediction for a threshold, interpolated on the preview's curve.
    #[must_use]
    pub fn predict(&self, delta: f64) -> Option<PredictedPoint> {
        interpolate(&self.preview.as_ref()?.curve, delta)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "revisions are counted from 1")]
fn whole(revision: f64) -> u64 {
    revision.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(channel: SourceChannel) -> SourceUpdate {
        SourceUpdate::Failed(ChannelFailure { channel, cause: "gone".into(), retry_at_ms: 9_000 })
    }

    #[test]
    fn a_connection_goes_from_connecting_over_live_and_stale_to_down_and_back() {
        let mut server = ServerState::new("a", false);
        assert_eq!(server.connection(0), ServerConnection::Connecting);
        let scrape = || SourceUpdate::Metrics("rsd_policy_delta 0.5".into());
        server.receive(1_000, scrape(), 60_000);
        assert_eq!(server.connection(2_000), ServerConnection::Live);
        assert_eq!(server.connection(10_000), ServerConnection::Stale(9_000));
        server.receive(5_000, failed(SourceChannel::Metrics), 60_000);
        assert_eq!(server.connection(8_000), ServerConnection::Down { retry_ms: 1_000, cause: "gone".into() });
        assert_eq!(server.delta(), Some(0.5), "the old data stays");
        server.receive(9_000, scrape(), 60_000);
        assert_eq!(server.connection(9_000), ServerConnection::Live);
    }

    #[test]
    fn a_server_that_is_asked_seldom_is_not_stale_between_two_answers() {
        let mut server = ServerState::new("a", false);
        server.metrics.stale_after_ms = 60_000;
        server.receive(1_000, SourceUpdate::Metrics("rsd_policy_delta 0.5".into()), 60_000);
        assert_eq!(server.connection(31_000), ServerConnection::Live);
        assert_eq!(server.connection(62_000), ServerConnection::Stale(61_000));
    }

    #[test]
    fn a_server_without_metrics_says_so() {
        let mut server = ServerState::new("a", true);
        server.receive(1_000, SourceUpdate::History(Vec::new()), 60_000);
        server.receive(1_000, failed(SourceChannel::Metrics), 60_000);
        assert_eq!(server.connection(1_000), ServerConnection::Live);
        assert_eq!(server.metrics_problem(1_000).as_deref(), Some("gone"));
    }

    #[test]
    fn a_new_revision_and_a_restart_mark_the_graph() {
        let mut server = ServerState::new("a", false);
        let scrapes = ["1\nrsd_target_tokens_total 5", "2\nrsd_target_tokens_total 6", "1\nrsd_target_tokens_total 0"];
        for (n, text) in scrapes.iter().enumerate() {
            server.receive(n as u64 * 1000, SourceUpdate::Metrics(format!("rsd_policy_revision {text}")), 60_000);
        }
        let marks: Vec<_> = server.points.iter().map(|point| point.mark).collect();
        assert_eq!(marks, [None, Some(GraphMark::Revision(2)), Some(GraphMark::Restart)]);
        assert_eq!(server.restarts, 1);
    }

    #[test]
    fn a_revision_is_compared_with_the_window_before_it() {
        let mut server = ServerState::new("a", false);
        let mut accepted = 0;
        for second in 0..=40_u64 {
            let (revision, share) = if second < 20 { (1, 8) } else { (2, 3) };
            accepted += if second == 0 { 0 } else { share };
            let text = format!(
                "rsd_policy_revision {revision}\nrsd_steps_total{{outcome=\"accepted\"}} {accepted}\n\
                 rsd_steps_total{{outcome=\"rejected\"}} {}",
                10 * second - accepted
            );
            server.receive(second * 1000, SourceUpdate::Metrics(text), 30_000);
        }
        let [before, after] = server.around_revision(2, 30_000).unwrap();
        assert_eq!((before.step_acceptance, after.step_acceptance), (Some(0.8), Some(0.3)));
        assert_eq!(server.around_revision(1, 30_000), None, "the console did not see the first revision being made");
    }

    #[test]
    fn a_restart_is_one_though_the_clock_was_set_back() {
        let mut server = ServerState::new("a", false);
        for (n, started) in [7_200.0, 3_600.0, 3_600.0].iter().enumerate() {
            let text = format!("rsd_start_time_seconds {started}\nrsd_target_tokens_total 0");
            server.receive(n as u64 * 1000, SourceUpdate::Metrics(text), 60_000);
        }
        assert_eq!(server.restarts, 1);
    }
}
