//! Calibrates rewards to probabilities, and chooses a threshold that reaches a goal.

use rsd_statistics::{WeightedSample, auc};

use super::{
    error::TrainingError,
    lbfgs,
    metrics::{CoveragePoint, at_coverage, coverage_curve},
    network::{cross_entropy, sigmoid},
};

/// Penalty on a slope other than 1, so that scores without a single error still have a best slope.
const CAUTION: f64 = 1e-4;
/// A precision counts only if it was measured on at least this many steps.
const ENOUGH_STEPS: f64 = 20.0;

/// r = sigmoid((logit + offset) / temperature), after Platt (1999).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Above 1 it moves rewards towards 0.5.
    pub temperature: f64,
    /// Added to the logit.
    pub offset: f64,
}

impl Calibration {
    /// The calibration with the least log loss on samples whose scores are logits.
    ///
    /// # Errors
    /// There are only good or only bad samples, or higher logits go with bad ones.
    pub fn fit(samples: &[WeightedSample]) -> Result<Self, TrainingError> {
        if auc(samples).is_none() {
            return Err(TrainingError::Unfit(
                "cannot calibrate: the solutions are all right or all wrong; collect more".to_owned(),
            ));
        }
        let total: f64 = samples.iter().map(|sample| sample.weight).sum();
        let objective = |at: &[f64]| {
            let (slope, shift) = (at[0], at[1]);
            let mut loss = 0.5 * CAUTION * (slope - 1.0).powi(2);
            let mut gradient = vec![CAUTION * (slope - 1.0), 0.0];
            for sample in samples {
                let (logit, label) = (slope * sample.score + shift, f64::from(u8::from(sample.good)));
                let weight = sample.weight / total;
                let error = weight * (sigmoid(logit) - label);
                loss += weight * cross_entropy(logit, label);
                gradient[0] += error * sample.score;
                gradient[1] += error;
            }
            Ok::<_, TrainingError>((loss, gradient))
        };
        let found = lbfgs::minimize(vec![1.0, 0.0], 500, objective, |_, _| Ok(true))?;
        if found[0].is_nan() || found[0] < 1e-3 {
            return Err(TrainingError::Unfit(format!(
                "cannot calibrate: on this data a higher score does not mean a better step (slope {:.3}); \
                 train again with more data or other features",
                found[0]
            )));
        }
        Ok(Self { temperature: 1.0 / found[0], offset: found[1] / found[0] })
    }

    /// The reward of a logit.
    pub fn reward(self, logit: f64) -> f64 {
        sigmoid((logit + self.offset) / self.temperature)
    }
}

/// The goal that a threshold is chosen for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ThresholdGoal {
    /// At least this share of the steps is accepted.
    Acceptance(f64),
    /// At least this share of the accepted steps belongs to right solutions. Of such thresholds the one that accepts
    /// most is chosen.
    Precision(f64),
}

/// The threshold that reaches a goal, with its acceptance rate and precision on samples whose scores are rewards.
///
/// # Errors
/// No threshold reaches the precision on enough steps.
pub fn choose_threshold(samples: &[WeightedSample], goal: ThresholdGoal) -> Result<CoveragePoint, TrainingError> {
    let curve = coverage_curve(samples);
    let total: f64 = samples.iter().map(|sample| sample.weight).sum();
    let found = match goal {
        ThresholdGoal::Acceptance(share) => at_coverage(&curve, share),
        ThresholdGoal::Precision(share) => {
            curve.iter().rev().copied().find(|point| point.accuracy >= share && enough(point, total))
        }
    };
    // Serving computes the reward in another order of operations; a step exactly at the threshold must still be
    // accepted.
    let found = found.map(|point| CoveragePoint { threshold: (point.threshold * 1e4).floor() / 1e4, ..point });
    found.ok_or_else(|| {
        let best = curve.iter().filter(|point| enough(point, total)).map(|point| point.accuracy).fold(0.0, f64::max);
        TrainingError::Unfit(match goal {
            ThresholdGoal::Acceptance(_) => "cannot choose delta: the data has no steps".to_owned(),
            ThresholdGoal::Precision(share) => format!(
                "no delta gives a precision of {share} on {ENOUGH_STEPS} steps or more; the best of this data is {best:.3}"
            ),
        })
    })
}

fn enough(point: &CoveragePoint, total: f64) -> bool {
    point.coverage * total >= ENOUGH_STEPS - 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits -3 to 3 of which `good(logit)` of 1000 each are good.
    fn spread(chance: impl Fn(f64) -> f64) -> Vec<WeightedSample> {
        let logits = (-12..=12).map(|n| f64::from(n) / 4.0);
        let both = logits.flat_map(|score| {
            let good = 1000.0 * chance(score);
            [
                WeightedSample { score, good: true, weight: good },
                WeightedSample { score, good: false, weight: 1000.0 - good },
            ]
        });
        both.collect()
    }

    #[test]
    fn the_temperature_and_offset_behind_the_outcomes_are_found() {
        let found = Calibration::fit(&spread(|logit| sigmoid((logit - 0.7) / 2.5))).unwrap();
        assert!((found.temperature - 2.5).abs() < 0.01, "{found:?}");
        assert!((found.offset + 0.7).abs() < 0.01, "{found:?}");
        assert!((found.reward(0.7) - 0.5).abs() < 0.01);
    }

    #[test]
    fn scores_without_an_error_stay_finite_and_backward_ones_are_rejected() {
        let clean: Vec<WeightedSample> =
            (-5..5).map(|n| WeightedSample { score: f64::from(n) + 0.5, good: n >= 0, weight: 1.0 }).collect();
        assert!(Calibration::fit(&clean).unwrap().temperature > 0.0);
        let backward: Vec<WeightedSample> = clean.iter().map(|s| WeightedSample { good: !s.good, ..*s }).collect();
        assert!(Calibration::fit(&backward).unwrap_err().to_string().contains("does not mean a better step"));
        assert!(Calibration::fit(&clean[..3]).is_err());
    }

    #[test]
    fn delta_is_the_highest_for_the_acceptance_and_the_lowest_for_the_precision() {
        // 100 steps with r = 0.005, 0.015, ...; those from 0.5 on are good, and every fourth below.
        let samples: Vec<WeightedSample> = (0..100)
            .map(|n| WeightedSample { score: (f64::from(n) + 0.5) / 100.0, good: n >= 50 || n % 4 == 0, weight: 1.0 })
            .collect();
        let found = choose_threshold(&samples, ThresholdGoal::Acceptance(0.3)).unwrap();
        assert!((found.threshold - 0.705).abs() < 1e-9 && (found.coverage - 0.3).abs() < 1e-9, "{found:?}");
        let found = choose_threshold(&samples, ThresholdGoal::Precision(0.9)).unwrap();
        let accepted = samples.iter().filter(|s| s.score >= found.threshold);
        let good = accepted.clone().filter(|s| s.good).count() as f64 / accepted.count() as f64;
        assert!((good - found.accuracy).abs() < 1e-9 && good >= 0.9, "{found:?}");
        assert!(found.threshold < 0.5, "some bad steps may be accepted: {found:?}");
        let none: Vec<WeightedSample> = samples.iter().map(|s| WeightedSample { good: s.score > 0.9, ..*s }).collect();
        let error = choose_threshold(&none, ThresholdGoal::Precision(0.9)).unwrap_err().to_string();
        assert!(error.contains("0.500"), "{error}");
    }
}
