//! The metrics of one server over the last minutes. Counters are kept free of resets, what is absent stays absent, and
//! memory is bounded whatever a server exposes.

use std::collections::{BTreeMap, VecDeque};

use rsd_protocol::metrics::{self, Kind, Metric};

use crate::exposition::Exposition;

/// Series of one server that are kept; more are ignored.
const MOST_SERIES: usize = 1024;
/// Scrapes that are kept.
const MOST_ROWS: usize = 700;

/// A label and its value, as they are asked for.
pub type Label<'a> = (&'a str, &'a str);

#[derive(Debug, Clone)]
struct Series {
    labels: Vec<(String, String)>,
    slot: usize,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    counter: bool,
    /// What the server said last.
    raw: Option<f64>,
    /// What earlier lives of the counter had counted.
    before: f64,
}

#[derive(Debug, Clone)]
struct Row {
    at_ms: u64,
    values: Box<[Option<f64>]>,
}

/// Recent scrapes of one server.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    names: BTreeMap<String, Vec<Series>>,
    slots: Vec<Slot>,
    rows: VecDeque<Row>,
    /// Series that found no room.
    pub ignored: usize,
}

/// What a scrape changed besides values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// A counter fell: the server has been restarted.
    pub reset: bool,
}

impl Readings {
    /// Takes a scrape.
    pub fn take(&mut self, at_ms: u64, found: &Exposition) -> Taken {
        // A recording may be put together of two: rows are in order all the same.
        let at_ms = self.rows.back().map_or(at_ms, |last| last.at_ms.max(at_ms));
        let mut taken = Taken::default();
        let mut values = vec![None; self.slots.len()];
        for slot in &mut self.slots {
            if !slot.counter {
                slot.raw = None;
            }
        }
        self.ignored = 0;
        for sample in &found.samples {
            let Some(counter) = tracked(&sample.name) else { continue };
            let Some(slot) = self.slot(&sample.name, &sample.labels, counter) else {
                self.ignored += 1;
                continue;
            };
            values.resize(self.slots.len(), None);
            let state = &mut self.slots[slot];
            if counter
                && let Some(raw) = state.raw
                && sample.value < raw
            {
                state.before += raw;
                taken.reset = true;
            }
            // A counter that is no number says nothing; what it said before still holds.
            if !counter || sample.value.is_finite() {
                state.raw = Some(sample.value);
                values[slot] = Some(sample.value + state.before);
            }
        }
        if self.rows.len() == MOST_ROWS {
            self.rows.pop_front();
        }
        self.rows.push_back(Row { at_ms, values: values.into() });
        taken
    }

    /// When the last scrape was taken.
    #[must_use]
    pub fn last_ms(&self) -> Option<u64> {
        self.rows.back().map(|row| row.at_ms)
    }

    /// What the server says now, all series with these labels together; absent where the last scrape had none.
    #[must_use]
    pub fn now(&self, metric: &Metric, labels: &[Label<'_>]) -> Option<f64> {
        let row = self.rows.back()?;
        let seen = |series: &Series| row.values.get(series.slot).copied().flatten().and(self.slots[series.slot].raw);
        sum(self.matching(metric.name, labels).filter_map(seen))
    }

    /// By how much a counter grew within the window, restarts taken into account, and over how many seconds; absent
    /// until it was seen twice.
    #[must_use]
    pub fn increase(&self, name: &str, labels: &[Label<'_>], window_ms: u64) -> Option<f64> {
        let (first, last) = self.ends(window_ms)?;
        sum(self.matching(name, labels).filter_map(|series| self.grown(series, first, last)))
    }

    /// Seconds between the ends of the window.
    #[must_use]
    pub fn seconds(&self, window_ms: u64) -> Option<f64> {
        let (first, last) = self.ends(window_ms)?;
        Some((self.rows[last].at_ms - self.rows[first].at_ms) as f64 / 1000.0).filter(|seconds| *seconds > 0.0)
    }

    /// A histogram's buckets, as (upper bound, count in the bucket): of the window, or with `None` since the start.
    #[must_use]
    pub fn buckets(&self, metric: &Metric, window_ms: Option<u64>) -> Vec<(f64, f64)> {
        let name = format!("{}_bucket", metric.name);
        let bound = |series: &Series| {
            let le = &series.labels.iter().find(|(name, _)| name == "le")?.1;
            if le == "+Inf" { Some(f64::INFINITY) } else { le.parse().ok() }
        };
        let value = |series: &Series| match window_ms {
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

    fn matching<'a>(&'a self, name: &str, labels: &'a [Label<'a>]) -> impl Iterator<Item = &'a Series> {
        let fits = move |series: &&Series| {
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

    fn grown(&self, series: &Series, first: usize, last: usize) -> Option<f64> {
        let value = |row: &Row| row.values.get(series.slot).copied().flatten();
        let (start, began) = (first..=last).find_map(|n| Some((n, value(&self.rows[n])?)))?;
        let (end, ended) = (first..=last).rev().find_map(|n| Some((n, value(&self.rows[n])?)))?;
        (end > start).then_some((ended - began).max(0.0))
    }

    fn slot(&mut self, name: &str, labels: &[(String, String)], counter: bool) -> Option<usize> {
        if let Some(found) = self.names.get(name).and_then(|all| all.iter().find(|series| series.labels == labels)) {
            return Some(found.slot);
        }
        if self.slots.len() == MOST_SERIES {
            return None;
        }
        let slot = self.slots.len();
        self.slots.push(Slot { counter, ..Slot::default() });
        self.names.entry(name.to_owned()).or_default().push(Series { labels: labels.to_vec(), slot });
        Some(slot)
    }
}

/// Whether the protocol names this series, and whether it only grows.
fn tracked(name: &str) -> Option<bool> {
    let parts = ["_bucket", "_sum", "_count"];
    metrics::ALL.iter().find_map(|metric| match metric.kind {
        Kind::Histogram(_) => {
            let part = name.strip_prefix(metric.name)?;
            parts.contains(&part).then_some(true)
        }
        kind => (metric.name == name).then_some(kind == Kind::Counter),
    })
}

fn sum(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::parse;

    fn readings(scrapes: &[(u64, &str)]) -> Readings {
        let mut readings = Readings::default();
        for (at_s, text) in scrapes {
            readings.take(at_s * 1000, &parse(text));
        }
        readings
    }

    const TARGET: &str = metrics::TARGET_TOKENS.name;

    #[test]
    fn a_restart_takes_nothing_away() {
        let mut found = readings(&[(1, "rsd_target_tokens_total 90"), (2, "rsd_target_tokens_total 100")]);
        assert!(found.take(3_000, &parse("rsd_target_tokens_total 5")).reset);
        assert_eq!(found.increase(TARGET, &[], 60_000), Some(15.0));
        assert_eq!(found.now(&metrics::TARGET_TOKENS, &[]), Some(5.0), "now is what the server says");
        assert_eq!(found.seconds(60_000), Some(2.0));
    }

    #[test]
    fn times_that_go_back_give_no_negative_rate() {
        let found = readings(&[(9_000, "rsd_target_tokens_total 5"), (5_400, "rsd_target_tokens_total 8")]);
        assert_eq!(found.increase(TARGET, &[], 60_000), Some(3.0));
        assert_eq!(found.seconds(60_000), None);
    }

    #[test]
    fn what_is_absent_or_no_number_is_not_zero() {
        let found = readings(&[(1, "rsd_target_tokens_total 1"), (2, "x 1"), (3, "rsd_target_tokens_total NaN")]);
        assert_eq!(found.increase(TARGET, &[], 60_000), None);
        assert_eq!(found.now(&metrics::TARGET_TOKENS, &[]), None);
        let gauge = readings(&[(1, "rsd_policy_delta NaN")]);
        assert!(gauge.now(&metrics::DELTA, &[]).unwrap().is_nan(), "a gauge that is no number is shown as that");
        assert_eq!(readings(&[]).increase(TARGET, &[], 60_000), None);
    }

    #[test]
    fn labels_choose_and_the_rest_is_added_up() {
        let one = "rsd_steps_total{outcome=\"accepted\"} 1\nrsd_steps_total{outcome=\"rejected\"} 2";
        let two = "rsd_steps_total{outcome=\"accepted\"} 8\nrsd_steps_total{outcome=\"rejected\"} 5";
        let found = readings(&[(1, one), (2, two)]);
        assert_eq!(found.increase(metrics::STEPS.name, &[], 60_000), Some(10.0));
        assert_eq!(found.increase(metrics::STEPS.name, &[("outcome", "accepted")], 60_000), Some(7.0));
        assert_eq!(found.increase(metrics::STEPS.name, &[("outcome", "none")], 60_000), None);
    }

    #[test]
    fn buckets_are_no_longer_cumulative() {
        let one =
            "rsd_reward_bucket{le=\"+Inf\"} 10\nrsd_reward_bucket{le=\"0.5\"} 4\nrsd_reward_bucket{le=\"0.05\"} 1";
        let two = one.replace("} 10", "} 20").replace("} 4", "} 5");
        let found = readings(&[(1, one), (2, &two)]);
        assert_eq!(found.buckets(&metrics::REWARD, None), [(0.05, 1.0), (0.5, 4.0), (f64::INFINITY, 15.0)]);
        assert_eq!(found.buckets(&metrics::REWARD, Some(60_000)), [(0.05, 0.0), (0.5, 1.0), (f64::INFINITY, 9.0)]);
    }

    #[test]
    fn a_server_that_exposes_everything_fills_no_memory() {
        let mut found = Readings::default();
        for n in 0..3000 {
            found.take(n * 1000, &parse(&format!("rsd_build_info{{version=\"{n}\"}} 1\nother_{n} 1")));
        }
        assert_eq!(found.slots.len(), MOST_SERIES);
        assert_eq!(found.rows.len(), MOST_ROWS);
        assert_eq!(found.ignored, 1);
    }
}
