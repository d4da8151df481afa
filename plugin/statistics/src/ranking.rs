//! How well scores rank good above bad: the area under the ROC curve.

use crate::{BootstrapResamples, Estimate};

/// Something scored that turned out good or bad, and belongs to an item that is resampled as a whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredSample {
    /// Higher is better.
    pub score: f64,
    /// Whether it turned out good.
    pub good: bool,
    /// The place of its item, such as its question, among those that are resampled.
    pub item: usize,
}

/// Something scored that counts `weight` times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightedSample {
    /// Higher is better.
    pub score: f64,
    /// Whether it turned out good.
    pub good: bool,
    /// How often it counts.
    pub weight: f64,
}

/// Area under the ROC curve: the chance that something good has a higher score than something bad, ties counting half
/// (Mann and Whitney's U). `None` if all are good or all are bad, or a score is not a number.
#[must_use]
pub fn auc(samples: &[WeightedSample]) -> Option<f64> {
    let mut sorted: Vec<&WeightedSample> = samples.iter().filter(|sample| sample.weight > 0.0).collect();
    if sorted.iter().any(|sample| sample.score.is_nan()) {
        return None;
    }
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    let ties = sorted.chunk_by(|a, b| tied(a.score, b.score));
    Some(area(ties, |sample| (sample.good, sample.weight))).filter(|area| area.is_finite())
}

/// [`auc`] with its interval by bootstrap over the items that the samples belong to.
#[must_use]
pub fn auc_estimate(samples: &[ScoredSample], resamples: &BootstrapResamples) -> Option<Estimate> {
    if samples.iter().any(|sample| sample.score.is_nan()) {
        return None;
    }
    let mut sorted = samples.to_vec();
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    let ties: Vec<&[ScoredSample]> = sorted.chunk_by(|a, b| tied(a.score, b.score)).collect();
    resamples.estimate_weighted(|times| {
        let area = area(ties.iter().copied(), |sample| (sample.good, times[sample.item]));
        Some(area).filter(|area| area.is_finite())
    })
}

/// Only scores that are exactly the same are tied: no threshold parts them.
#[allow(clippy::float_cmp)]
fn tied(a: f64, b: f64) -> bool {
    a == b
}

/// The area, from groups of tied samples with rising scores. Not finite if all are good or all are bad.
fn area<'a, T: 'a>(ties: impl Iterator<Item = &'a [T]>, good_and_weight: impl Fn(&T) -> (bool, f64)) -> f64 {
    let (mut good, mut bad, mut won) = (0.0, 0.0, 0.0);
    for tie in ties {
        let here = |kind: bool| tie.iter().map(&good_and_weight).filter(move |(good, _)| *good == kind).map(|(_, w)| w);
        let (good_here, bad_here) = (here(true).sum::<f64>(), here(false).sum::<f64>());
        won += good_here * (bad + 0.5 * bad_here);
        good += good_here;
        bad += bad_here;
    }
    won / (good * bad)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn area_of(scores: &[(f64, bool)]) -> Option<f64> {
        let of = |(item, &(score, good)): (usize, &(f64, bool))| ScoredSample { score, good, item };
        let samples: Vec<ScoredSample> = scores.iter().enumerate().map(of).collect();
        let found = auc_estimate(&samples, &BootstrapResamples::new(scores.len())).map(|found| found.value);
        let weighted = |&(score, good): &(f64, bool)| WeightedSample { score, good, weight: 1.0 };
        assert_eq!(found, auc(&scores.iter().map(weighted).collect::<Vec<_>>()));
        found
    }

    #[test]
    fn ranking_is_one_when_the_good_are_on_top_and_a_half_when_all_are_alike() {
        assert_eq!(area_of(&[(0.1, false), (0.2, false), (0.8, true), (0.9, true)]), Some(1.0));
        assert_eq!(area_of(&[(0.5, false), (0.5, true), (0.5, true)]), Some(0.5));
        assert_eq!(area_of(&[(0.3, true), (0.4, true)]), None);
        assert_eq!(area_of(&[(f64::NAN, true), (0.4, false)]), None);
    }

    #[test]
    fn a_weight_counts_as_often_as_a_repetition() {
        let sample = |score, good, weight| WeightedSample { score, good, weight };
        let weighted =
            [sample(0.2, true, 2.0), sample(0.5, false, 1.0), sample(0.7, true, 1.0), sample(0.1, false, 0.0)];
        let repeated =
            [sample(0.2, true, 1.0), sample(0.2, true, 1.0), sample(0.5, false, 1.0), sample(0.7, true, 1.0)];
        assert_eq!(auc(&weighted), Some(1.0 / 3.0));
        assert_eq!(auc(&weighted), auc(&repeated));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn turning_good_and_bad_round_turns_the_ranking_round(
            scores in prop::collection::vec(((0u8..8).prop_map(|n| f64::from(n) / 8.0), any::<bool>()), 2..40)
        ) {
            let turned: Vec<(f64, bool)> = scores.iter().map(|&(score, good)| (score, !good)).collect();
            match (area_of(&scores), area_of(&turned)) {
                (Some(one), Some(other)) => prop_assert!((one + other - 1.0).abs() < 1e-9),
                (one, other) => prop_assert_eq!(one, other),
            }
        }
    }
}
