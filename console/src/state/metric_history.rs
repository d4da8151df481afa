//! The metrics of one server over the last minutes. Counters are corrected for restarts of the server, absent values stay
//! absent, and memory is bounded whatever a server exposes.

use std::collections::{BTreeMap, VecDeque};

use rsd_protocol::metrics::{self, MetricKind, MetricSpec};

use crate::exposition::Exposition;

/// Series of one server that are stored; more are ignored.
const MAX_SERIES: usize = 1024;
/// Scrapes that are stored.
const MAX_ROWS: usize = 700;

/// Name and value of a label.
pub type LabelMatch<'a> = (&'a str, &'a str);

#[derive(Debug, Clone)]
struct LabeledSeries {
    labels: Vec<(String, String)>,
    slot: usize,
}

#[derive(Debug, Clone, Default)]
struct SeriesSlot {
    counter: bool,
    /// The server's last value.
    raw: Option<f64>,
    /// What the counter had counted before restarts of the server.
    before_restarts: f64,
}

#[derive(Debug, Clone)]
struct ScrapeRow {
    at_ms: u64,
    values: Box<[Option<f64>]>,
}

/// Recent scrapes of one server.
#[derive(Debug, Clone, Default)]
pub struct MetricHistory {
    names: BTreeMap<String, Vec<LabeledSeries>>,
    slots: Vec<SeriesSlot>,
    rows: VecDeque<ScrapeRow>,
    /// Series of the last scrape beyond the limit.
    pub ignored: usize,
}

/// What a scrape shows besides values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScrapeOutcome {
    /// A counter has decreased, so that the server must have been restarted.
    pub restarted: bool,
}

impl MetricHistory {
    /// Adds a scrape.
    pub fn record_scrape(&mut self, at_ms: u64, scrape: &Exposition) -> ScrapeOutcome {
        // Rows stay in order even if a recording was concatenated from two.
        let at_ms = self.rows.back().map_or(at_ms, |last| last.at_ms.max(at_ms));
        let mut outcome = ScrapeOutcome::default();
        let mut values = vec![None; self.slots.len()];
        for slot in &mut self.slots {
            if !slot.counter {
                slot.raw = None;
            }
        }
        self.ignored = 0;
        for sample in &scrape.samples {
            let name = current_name(&sample.name);
            let Some(counter) = tracked(name) else { continue };
            let Some(slot) = self.slot(name, &sample.labels, counter) else {
                self.ignored += 1;
                continue;
            };
            values.resize(self.slots.len(), None);
            let state = &mut self.slots[slot];
            if counter
                && let Some(raw) = state.raw
                && sample.value < raw
            {
                state.before_restarts += raw;
                outcome.restarted = true;
            }
            // A counter that is not a number is skipped; its last value stays valid.
            if !counter || sample.value.is_finite() {
                state.raw = Some(sample.value);
                values[slot] = Some(sample.value + state.before_restarts);
            }
        }
        if self.rows.len() == MAX_ROWS {
            self.rows.pop_front();
        }
        self.rows.push_back(ScrapeRow { at_ms, values: values.into() });
        outcome
    }

    /// The sum of all series with these labels in the last scrape; `None` if it had none.
    #[must_use]
    pub fn latest(&self, metric: &MetricSpec, labels: &[LabelMatch<'_>]) -> Option<f64> {
        let row = self.rows.back()?;
        let seen =
            |series: &LabeledSeries| row.values.get(series.slot).copied().flatten().and(self.slots[series.slot].raw);
        sum(self.matching(metric.name, labels).filter_map(seen))
    }

    /// By how much a counter increased within the window, corrected for restarts; `None` until it was scraped twice.
    #[must_use]
    pub fn increase(&self, name: &str, labels: &[LabelMatch<'_>], window_ms: u64) -> Option<f64> {
        let (first, last) = self.ends(window_ms)?;
        sum(self.matching(name, labels).filter_map(|series| self.grown(series, first, last)))
    }

    /// Seconds between the first and the last scrape of the window.
    #[must_use]
    pub fn window_seconds(&self, window_ms: u64) -> Option<f64> {
        let (first, last) = self.ends(window_ms)?;
        Some((self.rows[last].at_ms - self.rows[first].at_ms) as f64 / 1000.0).filter(|seconds| *seconds > 0.0)
    }

    /// A histogram's buckets as (upper bound, count in the bucket), not cumulative: within the window, or with `None`
    /// since the server's start.
    #[must_use]
    pub fn buckets(&self, metric: &MetricSpec, window_ms: Option<u64>) -> Vec<(f64, f64)> {
        let name = format!("{}_bucket", metric.name);
        let bound = |series: &LabeledSeries| {
            let le = &series.labels.iter().find(|(name, _)| name == "le")?.1;
            if le == "+Inf" { Some(f64::INFINITY) } else { le.parse().ok() }
        };
        let value = |series: &LabeledSeries| match window_ms {
            Some(window) => self.ends(window).and_then(|(first, last)| self.grown(series, first, last)),
            None => self.slots[series.slot].raw,
        };
        let mut cumulative: Vec<(f64, f64)> =
            self.matching(&name, &[]).filter_map(|series| Some((bound(series)?, value(series)?))).collect();
        cumulative.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut below = 0.0;
        for bucket in &mut cumulative {
            let up_to = bucket.1.max(below);
            bucket.1 = up_to - below;
            below = up_to;
        }
        cumulative
    }

    fn matching<'a>(&'a self, name: &str, labels: &'a [LabelMatch<'a>]) -> impl Iterator<Item = &'a LabeledSeries> {
        let fits = move |series: &&LabeledSeries| {
            labels.iter().all(|(name, value)| series.labels.iter().any(|(n, v)| n == name && v == value))
        };
        self.names.get(name).into_iter().flatten().filter(fits)
    }

    fn ends(&self, window_ms: u64) -> Option<(usize, usize)> {
        let last = self.rows.len().checked_sub(1)?;
        let since = self.rows[last].at_ms.saturating_sub(window_ms);
        let first = self.rows.partition_point(|row| row.at_ms < since);
        (first < last).then_some((first, last))
    }

    fn grown(&self, series: &LabeledSeries, first: usize, last: usize) -> Option<f64> {
        let value = |row: &ScrapeRow| row.values.get(series.slot).copied().flatten();
        let (start, began) = (first..=last).find_map(|n| Some((n, value(&self.rows[n])?)))?;
        let (end, ended) = (first..=last).rev().find_map(|n| Some((n, value(&self.rows[n])?)))?;
        (end > start).then_some((ended - began).max(0.0))
    }

    fn slot(&mut self, name: &str, labels: &[(String, String)], counter: bool) -> Option<usize> {
        if let Some(found) = self.names.get(name).and_then(|all| all.iter().find(|series| series.labels == labels)) {
            return Some(found.slot);
        }
        if self.slots.len() == MAX_SERIES {
            return None;
        }
        let slot = self.slots.len();
        self.slots.push(SeriesSlot { counter, ..SeriesSlot::default() });
        self.names.entry(name.to_owned()).or_default().push(LabeledSeries { labels: labels.to_vec(), slot });
        Some(slot)
    }
}

/// The present name of a series that was renamed.
fn current_name(name: &str) -> &str {
    metrics::RENAMED.iter().find(|(old, _)| *old == name).map_or(name, |(_, new)| new)
}

/// Whether this series never decreases; `None` if the protocol does not define it.
fn tracked(name: &str) -> Option<bool> {
    let parts = ["_bucket", "_sum", "_count"];
    metrics::ALL.iter().find_map(|metric| match metric.kind {
        MetricKind::Histogram(_) => {
            let part = name.strip_prefix(metric.name)?;
            parts.contains(&part).then_some(true)
        }
        kind => (metric.name == name).then_some(kind == MetricKind::Counter),
    })
}

fn sum(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::parse;

    fn history_of(scrapes: &[(u64, &str)]) -> MetricHistory {
        let mut history = MetricHistory::default();
        for (at_s, text) in scrapes {
            history.record_scrape(at_s * 1000, &parse(text));
        }
        history
    }

    const TARGET: &str = metrics::TARGET_TOKENS.name;

    #[test]
    fn series_with_former_names_are_understood() {
        let found = history_of(&[(1, "rsd_reload_refused 1\nrsd_wasted_lookahead_tokens_total 7")]);
        assert_eq!(found.latest(&metrics::RELOAD_FAILED, &[]), Some(1.0));
        assert_eq!(found.latest(&metrics::DISCARDED_TOKENS, &[]), Some(7.0));
    }

    #[test]
    fn a_restart_takes_nothing_away() {
        let mut found = history_of(&[(1, "rsd_target_tokens_total 90"), (2, "rsd_target_tokens_total 100")]);
        assert!(found.record_scrape(3_000, &parse("rsd_target_tokens_total 5")).restarted);
        assert_eq!(found.increase(TARGET, &[], 60_000), Some(15.0));
        assert_eq!(found.latest(&metrics::TARGET_TOKENS, &[]), Some(5.0), "the latest value is the server's own");
        assert_eq!(found.window_seconds(60_000), Some(2.0));
    }

    #[test]
    fn times_that_go_back_give_no_negative_rate() {
        let found = history_of(&[(9_000, "rsd_target_tokens_total 5"), (5_400, "rsd_target_tokens_total 8")]);
        assert_eq!(found.increase(TARGET, &[], 60_000), Some(3.0));
        assert_eq!(found.window_seconds(60_000), None);
    }

    #[test]
    fn what_is_absent_or_no_number_is_not_zero() {
        let found = history_of(&[(1, "rsd_target_tokens_total 1"), (2, "x 1"), (3, "rsd_target_tokens_total NaN")]);
        assert_eq!(found.increase(TARGET, &[], 60_000), None);
        assert_eq!(found.latest(&metrics::TARGET_TOKENS, &[]), None);
        let gauge = history_of(&[(1, "rsd_policy_delta NaN")]);
        assert!(gauge.latest(&metrics::DELTA, &[]).unwrap().is_nan(), "a gauge that is no number is shown as that");
        assert_eq!(history_of(&[]).increase(TARGET, &[], 60_000), None);
    }

    #[test]
    fn labels_choose_and_the_rest_is_added_up() {
        let one = "rsd_steps_total{outcome=\"accepted\"} 1\nrsd_steps_total{outcome=\"rejected\"} 2";
        let two = "rsd_steps_total{outcome=\"accepted\"} 8\nrsd_steps_total{outcome=\"rejected\"} 5";
        let found = history_of(&[(1, one), (2, two)]);
        assert_eq!(found.increase(metrics::STEPS.name, &[], 60_000), Some(10.0));
        assert_eq!(found.increase(metrics::STEPS.name, &[("outcome", "accepted")], 60_000), Some(7.0));
        assert_eq!(found.increase(metrics::STEPS.name, &[("outcome", "none")], 60_000), None);
    }

    #[test]
    fn buckets_are_no_longer_cumulative() {
        let one =
            "rsd_reward_bucket{le=\"+Inf\"} 10\nrsd_reward_bucket{le=\"0.5\"} 4\nrsd_reward_bucket{le=\"0.05\"} 1";
        let two = one.replace("} 10", "} 20").replace("} 4", "} 5");
        let found = history_of(&[(1, one), (2, &two)]);
        assert_eq!(found.buckets(&metrics::REWARD, None), [(0.05, 1.0), (0.5, 4.0), (f64::INFINITY, 15.0)]);
        assert_eq!(found.buckets(&metrics::REWARD, Some(60_000)), [(0.05, 0.0), (0.5, 1.0), (f64::INFINITY, 9.0)]);
    }

    #[test]
    fn a_server_that_exposes_everything_fills_no_memory() {
        let mut found = MetricHistory::default();
        for n in 0..3000 {
            found.record_scrape(n * 1000, &parse(&format!("rsd_build_info{{version=\"{n}\"}} 1\nother_{n} 1")));
        }
        assert_eq!(found.slots.len(), MAX_SERIES);
        assert_eq!(found.rows.len(), MAX_ROWS);
        assert_eq!(found.ignored, 1);
    }
}
