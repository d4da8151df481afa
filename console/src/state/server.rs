//! Everything known of one server, and whether it still holds.

use std::collections::VecDeque;

use rsd_protocol::{
    event::{Attempt, Event},
    live::{PolicyView, Revert, Revision},
    metrics,
    preview::{Point, Preview},
    status::Status,
    trace::{RequestTrace, TraceSummary},
};

use super::{curve::between, figures::Figures, readings::Readings};
use crate::{
    clock, exposition,
    source::{Channel, Failure, Update},
};

/// Moments whose figures are kept.
const MOST_MOMENTS: usize = 600;
/// Without an answer for so long a server is no longer live.
const STALE_AFTER_MS: u64 = 7_000;

/// What is known of one channel to a server.
#[derive(Debug, Clone, Default)]
pub struct Link {
    /// When it answered last.
    pub last_ok_ms: Option<u64>,
    /// Why it does not.
    pub failure: Option<Failure>,
}

/// Whether what is shown still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// Nothing has answered yet.
    Connecting,
    /// It answers.
    Live,
    /// It has not answered for so many milliseconds, and has not failed either.
    Stale(u64),
    /// It fails.
    Down {
        /// Milliseconds until the next try.
        retry_ms: u64,
        /// Why.
        cause: String,
    },
}

impl Link {
    fn connection(&self, now_ms: u64) -> Connection {
        match (&self.failure, self.last_ok_ms) {
            (Some(failure), _) => {
                Connection::Down { retry_ms: failure.retry_at_ms.saturating_sub(now_ms), cause: failure.cause.clone() }
            }
            (None, None) => Connection::Connecting,
            (None, Some(at)) if now_ms.saturating_sub(at) > STALE_AFTER_MS => Connection::Stale(now_ms - at),
            (None, Some(_)) => Connection::Live,
        }
    }

    fn ok(&mut self, at_ms: u64) {
        self.last_ok_ms = self.last_ok_ms.max(Some(at_ms));
        self.failure = None;
    }
}

/// Why a graph has a mark at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The policy changed to this revision.
    Revision(u64),
    /// The server was restarted.
    Restart,
}

/// One moment: its figures and what happened since the one before.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Figures over the window that ends there.
    pub figures: Figures,
    /// What happened.
    pub mark: Option<Mark>,
}

/// Everything known of one server.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// What it is called.
    pub name: String,
    /// Whether it has an admin API that we know of.
    pub has_admin: bool,
    /// The admin API.
    pub admin: Link,
    /// The metrics.
    pub metrics: Link,
    /// Recent scrapes.
    pub readings: Readings,
    /// Figures over time, oldest first.
    pub moments: VecDeque<Moment>,
    /// What it is.
    pub status: Option<Status>,
    /// Its policy and the tag that a change must name.
    pub policy: Option<(String, PolicyView)>,
    /// Revisions, newest first.
    pub history: Vec<Revision>,
    /// What other thresholds would do.
    pub preview: Option<Preview>,
    /// Recent requests, newest first.
    pub traces: Vec<TraceSummary>,
    /// The request that is looked at.
    pub trace: Option<RequestTrace>,
    /// Recent attempts, newest first.
    pub audit: Vec<Attempt>,
    /// Lines of the last scrape that were none.
    pub bad_lines: usize,
    /// Restarts seen.
    pub restarts: u32,
    /// Acceptance before the console was started, from Prometheus.
    pub past: Vec<(u64, f64)>,
    /// When it started, as its metrics say.
    started: Option<f64>,
    /// By how much its clock is ahead of ours, in milliseconds.
    ahead_ms: i64,
    /// The change that it will take back, and when by our clock. Told once: its own clock may jump meanwhile.
    reverts: Option<(Revert, u64)>,
}

impl Server {
    /// A server of which nothing is known yet.
    #[must_use]
    pub fn new(name: impl Into<String>, has_admin: bool) -> Self {
        Self { name: name.into(), has_admin, ..Self::default() }
    }

    /// Takes what a source says.
    pub fn take(&mut self, at_ms: u64, update: Update, window_ms: u64) {
        match update {
            Update::Metrics(text) => self.take_metrics(at_ms, &text, window_ms),
            Update::Failed(failure) => match failure.channel {
                Channel::Admin => self.admin.failure = Some(failure),
                Channel::Metrics => self.metrics.failure = Some(failure),
                Channel::Prometheus => {}
            },
            Update::Past(past) => self.past = past,
            Update::Answer { .. } | Update::Fleet(_) => {}
            Update::Event(event) => self.take_event(*event),
            other => {
                self.admin.ok(at_ms);
                match other {
                    Update::Status(status) => {
                        self.ahead_ms = clock::ahead_ms(status.now_ms, at_ms);
                        self.status = Some(*status);
                    }
                    Update::Policy { etag, view } => self.take_policy(etag, *view),
                    Update::History(history) => self.history = history,
                    Update::Preview(preview) => self.preview = Some(*preview),
                    Update::Traces(traces) => self.traces = traces,
                    Update::Trace(trace) => self.trace = Some(*trace),
                    Update::Audit(audit) => self.audit = audit,
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
                let at_ms = self.by_our_clock(reverts.at_ms);
                (reverts, at_ms)
            }
        });
        self.policy = Some((etag, view));
    }

    fn take_event(&mut self, event: Event) {
        match event {
            Event::Policy(revision)
                if self.history.first().is_none_or(|newest| newest.revision < revision.revision) =>
            {
                self.history.insert(0, *revision);
                self.history.truncate(1000);
            }
            Event::Attempt(attempt) if self.audit.first() != Some(&attempt) => {
                self.audit.insert(0, attempt);
                self.audit.truncate(500);
            }
            _ => {}
        }
    }

    fn take_metrics(&mut self, at_ms: u64, text: &str, window_ms: u64) {
        self.metrics.ok(at_ms);
        let found = exposition::parse(text);
        self.bad_lines = found.bad_lines;
        let taken = self.readings.take(at_ms, &found);
        let figures = Figures::of(&self.readings, at_ms, window_ms);
        let started = self.readings.now(&metrics::START_TIME, &[]);
        let restarted =
            taken.reset || matches!((self.started, started), (Some(old), Some(new)) if (new - old).abs() > 1.0);
        self.started = started.or(self.started);
        self.restarts += u32::from(restarted);
        let mark = if restarted {
            Some(Mark::Restart)
        } else {
            let before = self.moments.back().and_then(|moment| moment.figures.revision);
            match (before, figures.revision) {
                (Some(before), Some(now)) if before < now => Some(Mark::Revision(whole(now))),
                _ => None,
            }
        };
        if self.moments.len() == MOST_MOMENTS {
            self.moments.pop_front();
        }
        self.moments.push_back(Moment { figures, mark });
    }

    /// Whether what is shown still holds: the admin API's word where there is one, else the metrics'.
    #[must_use]
    pub fn connection(&self, now_ms: u64) -> Connection {
        let (admin, metrics) = (self.admin.connection(now_ms), self.metrics.connection(now_ms));
        if self.has_admin && admin != Connection::Live {
            admin
        } else if self.has_admin {
            Connection::Live
        } else {
            metrics
        }
    }

    /// What is wrong with the half that is not told by [`Self::connection`].
    #[must_use]
    pub fn half(&self, now_ms: u64) -> Option<String> {
        match self.metrics.connection(now_ms) {
            Connection::Down { cause, .. } if self.has_admin => Some(cause),
            Connection::Stale(age) if self.has_admin => Some(format!("no metrics for {} s", age / 1000)),
            _ => None,
        }
    }

    /// The newest figures.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.moments.back().map(|moment| moment.figures).unwrap_or_default()
    }

    /// A time that the server told, by our clock.
    #[must_use]
    pub fn by_our_clock(&self, at_ms: u64) -> u64 {
        at_ms.saturating_add_signed(self.ahead_ms.saturating_neg())
    }

    /// The revision that will be taken back, and in how many seconds.
    #[must_use]
    pub fn reverts(&self, now_ms: u64) -> Option<(u64, u64)> {
        let (reverts, at_ms) = self.reverts.as_ref()?;
        Some((reverts.revision, at_ms.saturating_sub(now_ms).div_ceil(1000)))
    }

    /// Whether this console may change something.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.may_write)
    }

    /// The threshold in force, as the admin API or the metrics say.
    #[must_use]
    pub fn delta(&self) -> Option<f64> {
        let told = self.policy.as_ref().map(|(_, view)| view.in_force.delta);
        told.or_else(|| self.status.as_ref().map(|status| status.in_force.delta)).or_else(|| self.figures().delta)
    }

    /// What is expected at a threshold: the preview's curve, linear between its points.
    #[must_use]
    pub fn expected(&self, delta: f64) -> Option<Point> {
        between(&self.preview.as_ref()?.curve, delta)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "revisions are counted from 1")]
fn whole(revision: f64) -> u64 {
    revision.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(channel: Channel) -> Update {
        Update::Failed(Failure { channel, cause: "gone".into(), retry_at_ms: 9_000 })
    }

    #[test]
    fn a_connection_goes_from_connecting_over_live_and_stale_to_down_and_back() {
        let mut server = Server::new("a", false);
        assert_eq!(server.connection(0), Connection::Connecting);
        let scrape = || Update::Metrics("rsd_policy_delta 0.5".into());
        server.take(1_000, scrape(), 60_000);
        assert_eq!(server.connection(2_000), Connection::Live);
        assert_eq!(server.connection(10_000), Connection::Stale(9_000));
        server.take(5_000, failed(Channel::Metrics), 60_000);
        assert_eq!(server.connection(8_000), Connection::Down { retry_ms: 1_000, cause: "gone".into() });
        assert_eq!(server.delta(), Some(0.5), "the old data stays");
        server.take(9_000, scrape(), 60_000);
        assert_eq!(server.connection(9_000), Connection::Live);
    }

    #[test]
    fn half_a_server_says_which_half() {
        let mut server = Server::new("a", true);
        server.take(1_000, Update::History(Vec::new()), 60_000);
        server.take(1_000, failed(Channel::Metrics), 60_000);
        assert_eq!(server.connection(1_000), Connection::Live);
        assert_eq!(server.half(1_000).as_deref(), Some("gone"));
    }

    #[test]
    fn a_new_revision_and_a_restart_mark_the_moment() {
        let mut server = Server::new("a", false);
        let scrapes = ["1\nrsd_target_tokens_total 5", "2\nrsd_target_tokens_total 6", "1\nrsd_target_tokens_total 0"];
        for (n, text) in scrapes.iter().enumerate() {
            server.take(n as u64 * 1000, Update::Metrics(format!("rsd_policy_revision {text}")), 60_000);
        }
        let marks: Vec<_> = server.moments.iter().map(|moment| moment.mark).collect();
        assert_eq!(marks, [None, Some(Mark::Revision(2)), Some(Mark::Restart)]);
        assert_eq!(server.restarts, 1);
    }

    #[test]
    fn a_restart_is_one_though_the_clock_was_set_back() {
        let mut server = Server::new("a", false);
        for (n, started) in [7_200.0, 3_600.0, 3_600.0].iter().enumerate() {
            let text = format!("rsd_start_time_seconds {started}\nrsd_target_tokens_total 0");
            server.take(n as u64 * 1000, Update::Metrics(text), 60_000);
        }
        assert_eq!(server.restarts, 1);
    }
}
