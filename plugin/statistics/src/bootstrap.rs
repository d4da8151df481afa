//! The bootstrap: items (questions, problems, answers) are drawn with replacement, and the spread of a statistic over
//! the draws is its interval. Items are what is independent; an answer's steps, for instance, are drawn together.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::NORMAL_97_5;

const RESAMPLES: usize = 2000;
const SEED: u64 = 0;

/// A value and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// On the data as it is.
    pub value: f64,
    /// 2.5 % of the resamples are lower.
    pub low: f64,
    /// 2.5 % of the resamples are higher.
    pub high: f64,
}

impl Estimate {
    /// A value that no resampling changes.
    #[must_use]
    pub fn exact(value: f64) -> Self {
        Self { value, low: value, high: value }
    }
}

/// Resamples of a fixed number of items. All statistics of one comparison must use the same resamples, so that their
/// differences compare like with like.
#[derive(Debug, Clone)]
pub struct BootstrapResamples {
    all: Vec<usize>,
    drawn: Vec<Vec<usize>>,
}

impl BootstrapResamples {
    /// 2000 resamples of `items` items, always the same ones for the same number.
    #[must_use]
    pub fn new(items: usize) -> Self {
        Self::with_seed(items, RESAMPLES, SEED)
    }

    /// `resamples` resamples of `items` items.
    #[must_use]
    pub fn with_seed(items: usize, resamples: usize, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = || (0..items).map(|_| random.random_range(0..items)).collect();
        Self { all: (0..items).collect(), drawn: (0..resamples).map(|_| draw()).collect() }
    }

    /// The number of items.
    #[must_use]
    pub fn items(&self) -> usize {
        self.all.len()
    }

    /// A statistic of the items at the given places, which may repeat. `None` if it has no finite value on the data;
    /// resamples on which it has none are left out.
    pub fn estimate(&self, statistic: impl Fn(&[usize]) -> f64) -> Option<Estimate> {
        let value = statistic(&self.all);
        let found: Vec<f64> = self.drawn.iter().map(|drawn| statistic(drawn)).filter(|v| v.is_finite()).collect();
        if !value.is_finite() {
            return None;
        }
        let outside = found.len() / 40;
        percentile_interval(found, outside).map(|(low, high)| Estimate { value, low, high })
    }

    /// A statistic of weighted items: `statistic` gets how often each item was drawn, and 1 for each on the data as it
    /// is. `None` if it has no value on the data; resamples on which it has none are left out.
    pub fn estimate_weighted(&self, statistic: impl Fn(&[f64]) -> Option<f64>) -> Option<Estimate> {
        let value = statistic(&vec![1.0; self.items()])?;
        let mut times = vec![0.0; self.items()];
        let found = self.drawn.iter().filter_map(|drawn| {
            times.fill(0.0);
            for &item in drawn {
                times[item] += 1.0;
            }
            statistic(&times)
        });
        let found: Vec<f64> = found.collect();
        let outside = found.len() / 40;
        percentile_interval(found, outside).map(|(low, high)| Estimate { value, low, high })
    }

    /// Something of each resample, in order.
    pub fn map<T>(&self, of: impl Fn(&[usize]) -> T) -> Vec<T> {
        self.drawn.iter().map(|drawn| of(drawn)).collect()
    }

    /// The mean of one value per item.
    #[must_use]
    pub fn mean(&self, values: &[f64]) -> Option<Estimate> {
        self.estimate(|drawn| sum(values, drawn) / drawn.len() as f64)
    }

    /// The mean of `values` minus the mean of `others`, paired by item.
    #[must_use]
    pub fn difference(&self, values: &[f64], others: &[f64]) -> Option<Estimate> {
        let differences: Vec<f64> = values.iter().zip(others).map(|(value, other)| value - other).collect();
        self.mean(&differences)
    }

    /// The sum of `values` over the sum of `others`.
    #[must_use]
    pub fn ratio(&self, values: &[f64], others: &[f64]) -> Option<Estimate> {
        self.estimate(|drawn| sum(values, drawn) / sum(others, drawn))
    }
}

fn sum(values: &[f64], drawn: &[usize]) -> f64 {
    drawn.iter().map(|&place| values[place]).sum()
}

/// The lowest and the highest of `values` once `outside` values are left out at either end. `None` if nothing is left.
#[must_use]
pub fn percentile_interval(mut values: Vec<f64>, outside: usize) -> Option<(f64, f64)> {
    values.sort_unstable_by(f64::total_cmp);
    let high = values.len().checked_sub(outside + 1)?;
    Some((*values.get(outside)?, *values.get(high)?))
}

/// How many of `resamples` lie outside a 95 % interval at either end: 2.5 % for many items; fewer for few, because a
/// resample of n items varies too little by sqrt((n - 1) / n) and the normal distribution is too narrow for them. This
/// is the expanded percentile interval (Hesterberg, What Teachers Should Know About the Bootstrap, 2015).
#[must_use]
pub fn expanded_tail(items: usize, resamples: usize) -> usize {
    let freedom = items.saturating_sub(1).max(1) as f64;
    let student = NORMAL_97_5 * (1.0 + (NORMAL_97_5 * NORMAL_97_5 + 1.0) / (4.0 * freedom));
    let z = student * ((freedom + 1.0) / freedom).sqrt();
    // The normal distribution's tail, to four places.
    let tail = 1.0 / (1.0 + (0.070_56 * z.powi(3) + 1.597_6 * z).exp());
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the resamples")]
    let outside = (tail * resamples as f64).round() as usize;
    outside
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_interval_is_where_the_normal_approximation_has_it() {
        let values: Vec<f64> = (0..400).map(|n| if n % 4 == 0 { 0.0 } else { 1.0 }).collect();
        let found = BootstrapResamples::new(400).mean(&values).unwrap();
        let half = 1.96 * (0.75f64 * 0.25 / 400.0).sqrt();
        assert!((found.value - 0.75).abs() < 1e-12);
        assert!((found.low - (0.75 - half)).abs() < 0.006 && (found.high - (0.75 + half)).abs() < 0.006, "{found:?}");
    }

    #[test]
    fn ratios_are_of_sums_and_absent_without_a_denominator() {
        let resamples = BootstrapResamples::new(3);
        assert_eq!(resamples.ratio(&[1.0, 2.0, 3.0], &[4.0, 4.0, 4.0]).map(|found| found.value), Some(0.5));
        assert_eq!(resamples.ratio(&[1.0, 2.0, 3.0], &[0.0; 3]), None);
        assert_eq!(BootstrapResamples::new(0).mean(&[]), None);
    }

    #[test]
    fn few_items_leave_fewer_resamples_outside() {
        assert_eq!([2, 5, 12, 128].map(|items| expanded_tail(items, 200)), [0, 0, 2, 5]);
    }

    #[test]
    fn an_interval_leaves_out_as_many_at_either_end() {
        let values = || (0..10).rev().map(f64::from).collect::<Vec<f64>>();
        assert_eq!(percentile_interval(values(), 0), Some((0.0, 9.0)));
        assert_eq!(percentile_interval(values(), 2), Some((2.0, 7.0)));
        assert_eq!(percentile_interval(values(), 10), None);
        assert_eq!(percentile_interval(Vec::new(), 0), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_figure_lies_in_its_interval_or_beside_few_values(values in prop::collection::vec(0.0f64..1.0, 5..60)) {
            let found = BootstrapResamples::new(values.len()).mean(&values).unwrap();
            prop_assert!(found.low <= found.value && found.value <= found.high, "{:?}", found);
        }

        #[test]
        fn what_is_compared_with_itself_differs_by_nothing(values in prop::collection::vec(0.1f64..1.0, 1..60)) {
            let resamples = BootstrapResamples::new(values.len());
            let same = |value| Some(Estimate { value, low: value, high: value });
            prop_assert_eq!(resamples.difference(&values, &values), same(0.0));
            prop_assert_eq!(resamples.ratio(&values, &values), same(1.0));
        }

        #[test]
        fn items_drawn_and_items_weighted_give_the_same_interval(values in prop::collection::vec(0u8..9, 1..40)) {
            let resamples = BootstrapResamples::with_seed(values.len(), 100, 7);
            let drawn = resamples.estimate(|drawn| drawn.iter().map(|&item| f64::from(values[item])).sum());
            let weighted = resamples.estimate_weighted(|times| {
                Some(values.iter().zip(times).map(|(value, times)| f64::from(*value) * times).sum())
            });
            prop_assert_eq!(drawn, weighted);
        }
    }
}
