//! Making a reward a probability, and choosing the threshold for what is wanted of it.

use super::{
    error::TrainingError,
    lbfgs,
    metrics::{Kept, Sample, at_coverage, kept},
    network::{cross_entropy, sigmoid},
};

/// Penalty on a slope away from 1, so that scores without a single error still have a best slope.
const CAUTION: f64 = 1e-4;
/// A precision counts only if it was seen on at least so many steps.
const ENOUGH: f64 = 20.0;

/// r = sigmoid((logit + offset) / temperature), after Platt (1999).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibration {
    /// Over 1 makes the head less sure of itself.
    pub temperature: f64,
    /// Added to the logit.
    pub offset: f64,
}

impl Calibration {
    /// Leaves logits as they are.
    pub const NONE: Self = Self { temperature: 1.0, offset: 0.0 };

    /// The least log loss for samples whose scores are logits.
    ///
    /// # Errors
    /// There are only good or only bad samples, or higher logits go with bad ones.
    pub fn fit(samples: &[Sample]) -> Result<Self, TrainingError> {
        if super::metrics::auc(samples).is_none() {
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
        let found = lbfgs::minimise(vec![1.0, 0.0], 500, objective, |_, _| Ok(true))?;
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

/// What a threshold is chosen for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wish {
    /// This share of steps passes, at least.
    Acceptance(f64),
    /// This share of the steps that pass belongs to right solutions, at least; of such thresholds the one that
    /// passes most.
    Precision(f64),
}

/// The threshold for a wish, with what it gives on samples whose scores are rewards.
///
/// # Errors
/// No threshold reaches the precision on enough steps.
pub fn delta(samples: &[Sample], wish: Wish) -> Result<Kept, TrainingError> {
    let ways = kept(samples);
    let total: f64 = samples.iter().map(|sample| sample.weight).sum();
    let found = match wish {
        Wish::Acceptance(share) => at_coverage(&ways, share),
        Wish::Precision(share) => ways.iter().rev().copied().find(|way| way.accuracy >= share && enough(way, total)),
    };
    // Serving computes r in another order of operations; a step right at the threshold must still pass.
    let found = found.map(|way| Kept { threshold: (way.threshold * 1e4).floor() / 1e4, ..way });
    found.ok_or_else(|| {
        let best = ways.iter().filter(|way| enough(way, total)).map(|way| way.accuracy).fold(0.0, f64::max);
        TrainingError::Unfit(match wish {
            Wish::Acceptance(_) => "cannot choose delta: there are no steps".to_owned(),
            Wish::Precision(share) => format!(
                "no delta gives a precision of {share} on {ENOUGH} steps or more; the best of this data is {best:.3}"
            ),
        })
    })
}

fn enough(way: &Kept, total: f64) -> bool {
    way.coverage * total >= ENOUGH - 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits -3 to 3 of which `good(logit)` of 1000 each are good.
    fn spread(chance: impl Fn(f64) -> f64) -> Vec<Sample> {
        let logits = (-12..=12).map(|n| f64::from(n) / 4.0);
        let both = logits.flat_map(|score| {
            let good = 1000.0 * chance(score);
            [Sample { score, good: true, weight: good }, Sample { score, good: false, weight: 1000.0 - good }]
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
    fn scores_without_an_error_stay_finite_and_backward_ones_are_refused() {
        let clean: Vec<Sample> =
            (-5..5).map(|n| Sample { score: f64::from(n) + 0.5, good: n >= 0, weight: 1.0 }).collect();
        assert!(Calibration::fit(&clean).unwrap().temperature > 0.0);
        let backward: Vec<Sample> = clean.iter().map(|s| Sample { good: !s.good, ..*s }).collect();
        assert!(Calibration::fit(&backward).unwrap_err().to_string().contains("does not mean a better step"));
        assert!(Calibration::fit(&clean[..3]).is_err());
    }

    #[test]
    fn delta_is_the_strictest_for_the_acceptance_and_the_mildest_for_the_precision() {
        // 100 steps with r = 0.005, 0.015, ...; those from 0.5 on are good, and every fourth below.
        let samples: Vec<Sample> = (0..100)
            .map(|n| Sample { score: (f64::from(n) + 0.5) / 100.0, good: n >= 50 || n % 4 == 0, weight: 1.0 })
            .collect();
        let found = delta(&samples, Wish::Acceptance(0.3)).unwrap();
        assert!((found.threshold - 0.705).abs() < 1e-9 && (found.coverage - 0.3).abs() < 1e-9, "{found:?}");
        let found = delta(&samples, Wish::Precision(0.9)).unwrap();
        let passing = samples.iter().filter(|s| s.score >= found.threshold);
        let good = passing.clone().filter(|s| s.good).count() as f64 / passing.count() as f64;
        assert!((good - found.accuracy).abs() < 1e-9 && good >= 0.9, "{found:?}");
        assert!(found.threshold < 0.5, "some bad steps may pass: {found:?}");
        let none: Vec<Sample> = samples.iter().map(|s| Sample { good: s.score > 0.9, ..*s }).collect();
        let error = delta(&none, Wish::Precision(0.9)).unwrap_err().to_string();
        assert!(error.contains("0.500"), "{error}");
    }
}
