//! The metrics of one server: every scrape of the last minutes, and one in [`COARSE_MS`] of the hour before them. Counters
//! are corrected for restarts of the server, absent values stay absent, and memory is bounded whatever a server exposes.

use std::collections::{BTreeMap, VecDeque};

use rsd_protocol::metrics::{self, MetricKind, MetricSpec};

use crate::exposition::{Exposition, SampleLabel};

/// Series of one server that are stored; more are ignored.
const MAX_SERIES: usize = 1024;
/// The newest scrapes, of which each is stored.
const MAX_ROWS: usize = 700;
/// Milliseconds between two of the scrapes that are stored of the time before.
pub const COARSE_MS: u64 = 20_000;
/// Scrapes that are stored of the time before: an hour and the longest window, 600 s, with some to spare.
const MAX_COARSE_ROWS: usize = 220;

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

/// The time that counters are counted over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistorySpan {
    /// Since the start of the server, by its own count.
    SinceStart,
    /// The newest window of this length in milliseconds.
    Newest(u64),
    /// A window that ends at this time, or at the last scrape before it.
    Ending { at_ms: u64, length_ms: u64 },
}

/// Scrapes of one server.
#[derive(Debug, Clone, Default)]
pub struct MetricHistory {
    names: BTreeMap<String, Vec<LabeledSeries>>,
    slots: Vec<SeriesSlot>,
    /// Scrapes that are no longer in `rows`, thinned out.
    coarse: VecDeque<ScrapeRow>,
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
    pub fn record_scrape(&mut self, at_ms: u64, scrape: &Exposition<'_>) -> ScrapeOutcome {
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
            let name = current_name(sample.name);
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
        if self.rows.len() == MAX_ROWS
            && let Some(old) = self.rows.pop_front()
        {
            self.thin_out(old);
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

    /// A label of a series of this metric in the last scrape.
    #[must_use]
    pub fn newest_label(&self, metric: &MetricSpec, label: &str) -> Option<&str> {
        let row = self.rows.back()?;
        let mut seen =
            self.matching(metric.name, &[]).filter(|series| row.values.get(series.slot).is_some_and(Option::is_some));
        let (_, value) = seen.next()?.labels.iter().find(|(name, _)| name == label)?;
        Some(value)
    }

    /// The value of a gauge in the last scrape of the span.
    #[must_use]
    pub fn gauge(&self, metric: &MetricSpec, span: HistorySpan) -> Option<f64> {
        let row = self.row(self.ends(span)?.1)?;
        sum(self.matching(metric.name, &[]).filter_map(|series| row.values.get(series.slot).copied().flatten()))
    }

    /// By how much a counter increased within the span, corrected for restarts; `None` until it was scraped twice.
    #[must_use]
    pub fn increase(&self, name: &str, labels: &[LabelMatch<'_>], span: HistorySpan) -> Option<f64> {
        sum(self.matching(name, labels).filter_map(|series| self.counted(series, span)))
    }

    /// Seconds between the first and the last scrape of the span; `None` for the time since the server's start.
    #[must_use]
    pub fn span_seconds(&self, span: HistorySpan) -> Option<f64> {
        let (first, last) = self.ends(span).filter(|_| span != HistorySpan::SinceStart)?;
        let passed = self.row(last)?.at_ms - self.row(first)?.at_ms;
        Some(passed as f64 / 1000.0).filter(|seconds| *seconds > 0.0)
    }

    /// Time of the last scrape of the span, in milliseconds since 1970; `None` if there is none.
    #[must_use]
    pub fn last_ms(&self, span: HistorySpan) -> Option<u64> {
        Some(self.row(self.ends(span)?.1)?.at_ms)
    }

    /// Time of the first scrape that is stored.
    #[must_use]
    pub fn first_ms(&self) -> Option<u64> {
        Some(self.row(0)?.at_ms)
    }

    /// Milliseconds between the first and the last scrape that are stored.
    #[must_use]
    pub fn observed_ms(&self) -> u64 {
        self.rows.back().zip(self.row(0)).map_or(0, |(last, first)| last.at_ms - first.at_ms)
    }

    /// A histogram's buckets within the span as (upper bound, count in the bucket), not cumulative.
    #[must_use]
    pub fn buckets(&self, metric: &MetricSpec, span: HistorySpan) -> Vec<(f64, f64)> {
        let name = format!("{}_bucket", metric.name);
        let bound = |series: &LabeledSeries| {
            let le = &series.labels.iter().find(|(name, _)| name == "le")?.1;
            if le == "+Inf" { Some(f64::INFINITY) } else { le.parse().ok() }
        };
        let mut cumulative: Vec<(f64, f64)> = self
            .matching(&name, &[])
            .filter_map(|series| Some((bound(series)?, self.counted(series, span)?)))
            .collect();
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

    /// Stores a scrape that is no longer among the newest, unless one shortly before it is stored.
    fn thin_out(&mut self, old: ScrapeRow) {
        if self.coarse.back().is_some_and(|last| old.at_ms < last.at_ms + COARSE_MS) {
            return;
        }
        if self.coarse.len() == MAX_COARSE_ROWS {
            self.coarse.pop_front();
        }
        self.coarse.push_back(old);
    }

    /// A stored scrape, counted from the oldest.
    fn row(&self, index: usize) -> Option<&ScrapeRow> {
        match index.checked_sub(self.coarse.len()) {
            Some(recent) => self.rows.get(recent),
            None => self.coarse.get(index),
        }
    }

    /// The number of stored scrapes, counted from the oldest, for which this holds of their time; it must hold of none
    /// after one of which it does not.
    fn count_while(&self, holds: impl Fn(u64) -> bool) -> usize {
        match self.coarse.partition_point(|row| holds(row.at_ms)) {
            all if all == self.coarse.len() => all + self.rows.partition_point(|row| holds(row.at_ms)),
            some => some,
        }
    }

    /// The first and the last scrape of a span; they may be the same.
    fn ends(&self, span: HistorySpan) -> Option<(usize, usize)> {
        let (end_ms, length_ms) = match span {
            HistorySpan::SinceStart => (u64::MAX, u64::MAX),
            HistorySpan::Newest(length_ms) => (u64::MAX, length_ms),
            HistorySpan::Ending { at_ms, length_ms } => (at_ms, length_ms),
        };
        let last = self.count_while(|at_ms| at_ms <= end_ms).checked_sub(1)?;
        let since = self.row(last)?.at_ms.saturating_sub(length_ms);
        Some((self.count_while(|at_ms| at_ms < since), last))
    }

    fn counted(&self, series: &LabeledSeries, span: HistorySpan) -> Option<f64> {
        if span == HistorySpan::SinceStart {
            return self.slots[series.slot].raw;
        }
        let (first, last) = self.ends(span)?;
        let value = |index: usize| self.row(index)?.values.get(series.slot).copied().flatten();
        let (start, began) = (first..=last).find_map(|n| Some((n, value(n)?)))?;
        let (end, ended) = (first..=last).rev().find_map(|n| Some((n, value(n)?)))?;
        (end > start).then_some((ended - began).max(0.0))
    }

    fn slot(&mut self, name: &str, labels: &[SampleLabel<'_>], counter: bool) -> Option<usize> {
        let same = |series: &&LabeledSeries| {
            let pairs = || series.labels.iter().zip(labels);
            series.labels.len() == labels.len() && pairs().all(|(one, other)| one.0 == other.0 && one.1 == other.1)
        };
        if let Some(found) = self.names.get(name).and_then(|all| all.iter().find(same)) {
            return Some(found.slot);
        }
        if self.slots.len() == MAX_SERIES {
            return None;
        }
        let slot = self.slots.len();
        self.slots.push(SeriesSlot { counter, ..SeriesSlot::default() });
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into_owned())).collect();
        self.names.entry(name.to_owned()).or_default().push(LabeledSeries { labels, slot });
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
    const NEWEST: HistorySpan = HistorySpan::Newest(60_000);

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
        assert_eq!(found.increase(TARGET, &[], NEWEST), Some(15.0));
        assert_eq!(found.latest(&metrics::TARGET_TOKENS, &[]), Some(5.0), "the latest value is the server's own");
        assert_eq!(found.span_seconds(NEWEST), Some(2.0));
    }

    #[test]
    fn times_that_go_back_give_no_negative_rate() {
        let found = history_of(&[(9_000, "rsd_target_tokens_total 5"), (5_400, "rsd_target_tokens_total 8")]);
        assert_eq!(found.increase(TARGET, &[], NEWEST), Some(3.0));
        assert_eq!(found.span_seconds(NEWEST), None);
    }

    #[test]
    fn what_is_absent_or_no_number_is_not_zero() {
        let found = history_of(&[(1, "rsd_target_tokens_total 1"), (2, "x 1"), (3, "rsd_target_tokens_total NaN")]);
        assert_eq!(found.increase(TARGET, &[], NEWEST), None);
        assert_eq!(found.latest(&metrics::TARGET_TOKENS, &[]), None);
        let gauge = history_of(&[(1, "rsd_policy_delta NaN")]);
        assert!(gauge.latest(&metrics::DELTA, &[]).unwrap().is_nan(), "a gauge that is no number is shown as that");
        assert_eq!(history_of(&[]).increase(TARGET, &[], NEWEST), None);
    }

    #[test]
    fn labels_choose_and_the_rest_is_added_up() {
        let one = "rsd_steps_total{outcome=\"accepted\"} 1\nrsd_steps_total{outcome=\"rejected\"} 2";
        let two = "rsd_steps_total{outcome=\"accepted\"} 8\nrsd_steps_total{outcome=\"rejected\"} 5";
        let found = history_of(&[(1, one), (2, two)]);
        assert_eq!(found.increase(metrics::STEPS.name, &[], NEWEST), Some(10.0));
        assert_eq!(found.increase(metrics::STEPS.name, &[("outcome", "accepted")], NEWEST), Some(7.0));
        assert_eq!(found.increase(metrics::STEPS.name, &[("outcome", "none")], NEWEST), None);
    }

    #[test]
    fn buckets_are_no_longer_cumulative() {
        let one =
            "rsd_reward_bucket{le=\"+Inf\"} 10\nrsd_reward_bucket{le=\"0.5\"} 4\nrsd_reward_bucket{le=\"0.05\"} 1";
        let two = one.replace("} 10", "} 20").replace("} 4", "} 5");
        let found = history_of(&[(1, one), (2, &two)]);
        assert_eq!(
            found.buckets(&metrics::REWARD, HistorySpan::SinceStart),
            [(0.05, 1.0), (0.5, 4.0), (f64::INFINITY, 15.0)]
        );
        assert_eq!(found.buckets(&metrics::REWARD, NEWEST), [(0.05, 0.0), (0.5, 1.0), (f64::INFINITY, 9.0)]);
    }

    #[test]
    fn a_server_that_exposes_everything_fills_no_memory() {
        let mut found = MetricHistory::default();
        for n in 0..3000 {
            found.record_scrape(n * 1000, &parse(&format!("rsd_build_info{{version=\"{n}\"}} 1\nother_{n} 1")));
        }
        assert_eq!(found.slots.len(), MAX_SERIES);
        assert_eq!((found.rows.len(), found.coarse.len()), (MAX_ROWS, (3000 - MAX_ROWS) / 20));
        assert_eq!(found.ignored, 1);
    }

    #[test]
    fn the_hour_before_is_counted_exactly_between_the_scrapes_that_are_stored_of_it() {
        // Five hours, one scrape a second; the counter gains 3 in each, the gauge is the hour.
        let seconds = 5 * 3600;
        let mut found = MetricHistory::default();
        for second in 0..=seconds {
            let text = format!("rsd_target_tokens_total {}\nrsd_policy_delta {}", 3 * second, second / 3600);
            found.record_scrape(second * 1000, &parse(&text));
        }
        assert_eq!((found.rows.len(), found.coarse.len()), (MAX_ROWS, MAX_COARSE_ROWS));
        assert!(found.observed_ms() >= 3_600_000 + 600_000, "{}", found.observed_ms());
        for (back_s, length_s) in [(0, 120), (60, 600), (600, 120), (3_600, 60), (3_600, 120), (3_600, 600)] {
            let span = HistorySpan::Ending { at_ms: 1000 * (seconds - back_s), length_ms: 1000 * length_s };
            let covered = found.span_seconds(span).unwrap();
            assert!((length_s as f64 - covered) <= 20.0, "{span:?} covers {covered} s");
            assert_eq!(found.increase(TARGET, &[], span), Some(3.0 * covered), "{span:?}");
            let end = found.last_ms(span).unwrap();
            assert!(1000 * (seconds - back_s) - end < COARSE_MS, "{span:?} ends at {end}");
            assert_eq!(found.gauge(&metrics::DELTA, span), Some((end / 3_600_000) as f64));
        }
        let before = HistorySpan::Ending { at_ms: 1000, length_ms: 60_000 };
        assert_eq!((found.increase(TARGET, &[], before), found.last_ms(before)), (None, None), "long forgotten");
        assert_eq!(found.increase(TARGET, &[], HistorySpan::SinceStart), Some(3.0 * seconds as f64));
    }

    #[test]
    fn one_scrape_has_values_but_no_rate() {
        let found = history_of(&[(1, "rsd_policy_delta 0.5\nrsd_target_tokens_total 9")]);
        assert_eq!(found.gauge(&metrics::DELTA, NEWEST), Some(0.5));
        assert_eq!((found.increase(TARGET, &[], NEWEST), found.span_seconds(NEWEST)), (None, None));
        assert_eq!(found.increase(TARGET, &[], HistorySpan::SinceStart), Some(9.0));
    }
}
