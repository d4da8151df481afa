//! What the metrics say about the models on remote engines.

use rsd_protocol::metrics::{self, MetricSpec};

use super::{
    metric_history::{HistorySpan, MetricHistory},
    summary::ratio,
};

/// The remote engine of one role. Counts are since the server's start; a number that is not exported is absent.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteEngine {
    /// Addresses that are used.
    pub usable: f64,
    /// Addresses that are left alone for a while because they failed too often.
    pub left_alone: f64,
    pub requests: Option<f64>,
    pub retries: Option<f64>,
    /// Retries at another address.
    pub failovers: Option<f64>,
    /// Failed attempts by kind, the most frequent first; kinds that did not happen are left out.
    pub errors: Vec<(&'static str, f64)>,
    pub in_flight: Option<f64>,
    /// Requests that wait because `max_concurrency` is reached.
    pub waiting: Option<f64>,
    /// Mean of the seconds until a reply began, within the window or else since the server's start.
    pub first_part_seconds: Option<f64>,
}

impl RemoteEngine {
    /// `None` if the role's model is in the server's process, or if the server exports nothing about it.
    #[must_use]
    pub fn of(history: &MetricHistory, role: &str, window_ms: u64) -> Option<Self> {
        let latest = |metric: &MetricSpec| history.latest(metric, &[("role", role)]);
        let endpoints = |state| history.latest(&metrics::REMOTE_ENDPOINTS, &[("role", role), ("state", state)]);
        let (usable, left_alone) = (endpoints("usable")?, endpoints("left_alone").unwrap_or(0.0));
        if usable + left_alone < 1.0 {
            return None;
        }
        let error = |kind: &&'static str| {
            let count = history.latest(&metrics::REMOTE_FAILURES, &[("role", role), ("kind", kind)])?;
            (count > 0.0).then_some((*kind, count))
        };
        let mut errors: Vec<_> = metrics::REMOTE_ERRORS.iter().filter_map(error).collect();
        errors.sort_by(|one, other| other.1.total_cmp(&one.1));
        let mean = |span| {
            let grown = |metric: &MetricSpec| history.increase(metric.name, &[("role", role)], span);
            ratio(grown(&metrics::REMOTE_FIRST_PART_SECONDS), grown(&metrics::REMOTE_FIRST_PARTS))
        };
        Some(Self {
            usable,
            left_alone,
            requests: latest(&metrics::REMOTE_REQUESTS),
            retries: latest(&metrics::REMOTE_RETRIES),
            failovers: latest(&metrics::REMOTE_FAILOVERS),
            errors,
            in_flight: latest(&metrics::REMOTE_IN_FLIGHT),
            waiting: latest(&metrics::REMOTE_WAITING),
            first_part_seconds: mean(HistorySpan::Newest(window_ms)).or_else(|| mean(HistorySpan::SinceStart)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::parse;

    fn history(scrapes: &[&str]) -> MetricHistory {
        let mut history = MetricHistory::default();
        for (n, text) in scrapes.iter().enumerate() {
            history.record_scrape(n as u64 * 1000, &parse(text));
        }
        history
    }

    fn endpoints(usable: u32, left_alone: u32) -> String {
        format!(
            "rsd_remote_endpoints{{role=\"target\",state=\"usable\"}} {usable}\n\
             rsd_remote_endpoints{{role=\"target\",state=\"left_alone\"}} {left_alone}\n"
        )
    }

    #[test]
    fn a_role_without_addresses_is_not_remote() {
        assert_eq!(RemoteEngine::of(&history(&[""]), "target", 60_000), None);
        assert_eq!(RemoteEngine::of(&history(&[&endpoints(0, 0)]), "target", 60_000), None);
        assert_eq!(RemoteEngine::of(&history(&[&endpoints(1, 0)]), "draft", 60_000), None);
        let found = RemoteEngine::of(&history(&[&endpoints(0, 2)]), "target", 60_000).unwrap();
        assert_eq!((found.usable, found.left_alone, found.requests), (0.0, 2.0, None));
    }

    #[test]
    fn errors_are_ordered_and_the_time_is_that_of_the_window() {
        let text = |parts: f64, seconds: f64| {
            endpoints(2, 1)
                + &format!(
                    "rsd_remote_errors_total{{role=\"target\",kind=\"connect\"}} 1\n\
                     rsd_remote_errors_total{{role=\"target\",kind=\"timeout\"}} 3\n\
                     rsd_remote_errors_total{{role=\"target\",kind=\"status\"}} 0\n\
                     rsd_remote_errors_total{{role=\"draft\",kind=\"reset\"}} 9\n\
                     rsd_remote_first_parts_total{{role=\"target\"}} {parts}\n\
                     rsd_remote_first_part_seconds_total{{role=\"target\"}} {seconds}\n"
                )
        };
        let found = RemoteEngine::of(&history(&[&text(10.0, 10.0), &text(14.0, 12.0)]), "target", 60_000).unwrap();
        assert_eq!(found.errors, [("timeout", 3.0), ("connect", 1.0)]);
        assert_eq!(found.first_part_seconds, Some(0.5), "the ten replies before took a second each");
        let idle = RemoteEngine::of(&history(&[&text(10.0, 10.0), &text(10.0, 10.0)]), "target", 60_000).unwrap();
        assert_eq!(idle.first_part_seconds, Some(1.0), "none began in the window, so all of them count");
    }
}
