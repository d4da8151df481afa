//! Compares the measures with figures worked out by hand, and checks their laws.

use proptest::prelude::*;
use rsd_statistics::auc;

use super::*;

fn samples(scores: &[f64], good: &[u8]) -> Vec<WeightedSample> {
    let pairs = scores.iter().zip(good);
    pairs.map(|(&score, &good)| WeightedSample { score, good: good == 1, weight: 1.0 }).collect()
}

fn close(found: Option<f64>, expected: f64) -> bool {
    found.is_some_and(|found| (found - expected).abs() < 1e-9)
}

#[test]
fn auc_counts_pairs_and_half_of_ties() {
    // Of the four pairs (good, bad) three are in order: the example of scikit-learn's documentation.
    assert_eq!(auc(&samples(&[0.1, 0.4, 0.35, 0.8], &[0, 0, 1, 1])), Some(0.75));
    // Good 0.5 and 0.9, bad 0.5, 0.5 and 0.1: of six pairs four are in order and two tied.
    assert!(close(auc(&samples(&[0.5, 0.9, 0.5, 0.5, 0.1], &[1, 1, 0, 0, 0])), 5.0 / 6.0));
    assert_eq!(auc(&samples(&[0.3; 6], &[1, 0, 1, 0, 0, 0])), Some(0.5));
    assert_eq!(auc(&samples(&[0.1, 0.9], &[1, 0])), Some(0.0));
    assert_eq!(auc(&samples(&[0.1, 0.9], &[1, 1])), None);
    assert_eq!(auc(&samples(&[0.1, f64::NAN], &[1, 0])), None);
    assert_eq!(auc(&[]), None);
}

#[test]
fn brier_and_log_loss_are_means() {
    let found = samples(&[0.8, 0.4, 0.1], &[1, 1, 0]);
    assert!(close(brier(&found), (0.04 + 0.36 + 0.01) / 3.0));
    assert!(close(log_loss(&found), -(0.8f64.ln() + 0.4f64.ln() + 0.9f64.ln()) / 3.0));
    assert!(log_loss(&samples(&[0.0], &[1])).unwrap().is_finite());
    assert_eq!(brier(&[]), None);
}

#[test]
fn calibration_error_weighs_the_bins() {
    // Bins [0.1, 0.2): 0.12 and 0.18, one good; [0.9, 1]: 0.95 and 1, both good; [0.5, 0.6): 0.5, bad.
    let found = samples(&[0.12, 0.18, 0.95, 1.0, 0.5], &[1, 0, 1, 1, 0]);
    let bins = bins_by_width(&found, 10);
    assert_eq!(bins.len(), 3);
    let expected = (2.0 * (0.5 - 0.15) + 0.5 + 2.0 * 0.025) / 5.0;
    assert!(close(calibration_error(&bins), expected));
    // Halves by number: {0.12, 0.18} and {0.5, 0.95, 1}.
    let bins = bins_by_mass(&found, 2);
    let expected = (2.0 * 0.35 + 3.0 * (2.45f64 / 3.0 - 2.0 / 3.0).abs()) / 5.0;
    assert!(close(calibration_error(&bins), expected));
    assert_eq!(bins_by_mass(&samples(&[0.2], &[1]), 10).len(), 1);
    assert_eq!(calibration_error(&[]), None);
}

#[test]
fn the_curve_goes_from_the_best_score_down() {
    let curve = coverage_curve(&samples(&[0.9, 0.7, 0.7, 0.2], &[1, 1, 0, 0]));
    let found: Vec<(f64, f64, f64)> =
        curve.iter().map(|point| (point.coverage, point.threshold, point.accuracy)).collect();
    assert_eq!(found, [(0.25, 0.9, 1.0), (0.75, 0.7, 2.0 / 3.0), (1.0, 0.2, 0.5)]);
    assert_eq!(at_coverage(&curve, 0.25).unwrap().threshold, 0.9);
    assert_eq!(at_coverage(&curve, 0.3).unwrap().threshold, 0.7);
    assert_eq!(at_coverage(&curve, 1.0).unwrap().threshold, 0.2);
}

fn any_samples() -> impl Strategy<Value = Vec<WeightedSample>> {
    // Few values, so that ties are common; halves, so that maps below are exact.
    let sample = (0..8u8, any::<bool>(), 1..4u8).prop_map(|(score, good, weight)| WeightedSample {
        score: f64::from(score) / 8.0,
        good,
        weight: f64::from(weight),
    });
    prop::collection::vec(sample, 1..40)
}

proptest! {
    #[test]
    fn auc_is_the_share_of_pairs_in_order(found in any_samples()) {
        let (mut won, mut pairs) = (0.0, 0.0);
        for good in found.iter().filter(|sample| sample.good) {
            for bad in found.iter().filter(|sample| !sample.good) {
                let weight = good.weight * bad.weight;
                pairs += weight;
                won += weight * if good.score > bad.score { 1.0 } else if good.score == bad.score { 0.5 } else { 0.0 };
            }
        }
        if let Some(auc) = auc(&found) {
            prop_assert!((auc - won / pairs).abs() < 1e-9);
        } else {
            prop_assert_eq!(pairs, 0.0);
        }
    }

    #[test]
    fn auc_knows_only_the_order(found in any_samples()) {
        let map = |of: fn(f64) -> f64| -> Vec<WeightedSample> {
            found.iter().map(|sample| WeightedSample { score: of(sample.score), ..*sample }).collect()
        };
        prop_assert_eq!(auc(&found), auc(&map(|score| (4.0 * score).exp() - 100.0)));
        if let Some(forward) = auc(&found) {
            prop_assert!(close(auc(&map(|score| -score)), 1.0 - forward));
        }
    }

    #[test]
    fn a_weight_is_as_good_as_repetition(found in any_samples()) {
        let repeated: Vec<WeightedSample> = found.iter().flat_map(|sample| {
            let once = WeightedSample { weight: 1.0, ..*sample };
            (0..10).take_while(move |&n| f64::from(n) < sample.weight).map(move |_| once)
        }).collect();
        let same = |a: Option<f64>, b: Option<f64>| a.is_none() == b.is_none() && b.is_none_or(|b| close(a, b));
        prop_assert!(same(auc(&found), auc(&repeated)));
        prop_assert!(same(brier(&found), brier(&repeated)));
        prop_assert!(same(log_loss(&found), log_loss(&repeated)));
        prop_assert!(same(
            calibration_error(&bins_by_width(&found, 10)),
            calibration_error(&bins_by_width(&repeated, 10))
        ));
    }

    #[test]
    fn bins_lose_nothing(found in any_samples(), count in 1..12usize) {
        let total: f64 = found.iter().map(|sample| sample.weight).sum();
        for bins in [bins_by_width(&found, count), bins_by_mass(&found, count)] {
            prop_assert!((bins.iter().map(|bin| bin.weight).sum::<f64>() - total).abs() < 1e-9);
            let observed: f64 = bins.iter().map(|bin| bin.weight * bin.observed).sum();
            prop_assert!(close(share_good(&found), observed / total));
        }
    }

    #[test]
    fn accepting_all_gives_the_share_of_good_samples(found in any_samples()) {
        let curve = coverage_curve(&found);
        prop_assert!(curve.is_sorted_by(|a, b| a.coverage < b.coverage && a.threshold > b.threshold));
        prop_assert!(close(share_good(&found), curve.last().unwrap().accuracy));
    }
}
