//! Measures of scores: calibration, and the accuracy of the best-scored part.

use rsd_statistics::WeightedSample;
use serde::Serialize;

use super::network::cross_entropy;

/// Only scores that are exactly the same are tied: no threshold separates them.
#[allow(clippy::float_cmp)]
fn tied(a: &WeightedSample, b: &WeightedSample) -> bool {
    a.score == b.score
}

/// Mean square of the difference between probability and outcome. `None` without samples.
pub(super) fn brier(samples: &[WeightedSample]) -> Option<f64> {
    mean(samples, |sample| (sample.score - outcome(sample)).powi(2))
}

/// Mean negative logarithm of the probability given to the outcome, in nats. `None` without samples.
pub(super) fn log_loss(samples: &[WeightedSample]) -> Option<f64> {
    mean(samples, |sample| {
        // A wrong score of exactly 0 or 1 would have an infinite loss.
        let p = sample.score.clamp(1e-12, 1.0 - 1e-12);
        cross_entropy((p / (1.0 - p)).ln(), outcome(sample))
    })
}

/// The share of good samples. `None` without samples.
pub(super) fn share_good(samples: &[WeightedSample]) -> Option<f64> {
    mean(samples, outcome)
}

fn outcome(sample: &WeightedSample) -> f64 {
    f64::from(u8::from(sample.good))
}

fn mean(samples: &[WeightedSample], of: impl Fn(&WeightedSample) -> f64) -> Option<f64> {
    let total: f64 = samples.iter().map(|sample| sample.weight).sum();
    let sum: f64 = samples.iter().map(|sample| sample.weight * of(sample)).sum();
    (total > 0.0).then(|| sum / total)
}

/// Samples with similar probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CalibrationBin {
    pub predicted: f64,
    /// Share of good samples.
    pub observed: f64,
    /// Sum of the samples' weights.
    pub weight: f64,
}

impl CalibrationBin {
    fn from_samples(samples: &[WeightedSample]) -> Option<Self> {
        Some(Self {
            predicted: mean(samples, |sample| sample.score)?,
            observed: share_good(samples)?,
            weight: samples.iter().map(|sample| sample.weight).sum(),
        })
    }
}

/// `count` bins of the same width from 0 to 1; empty ones are left out.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the number of bins")]
pub fn bins_by_width(samples: &[WeightedSample], count: usize) -> Vec<CalibrationBin> {
    let mut sorted = vec![Vec::new(); count];
    for sample in samples {
        sorted[((sample.score * count as f64).max(0.0) as usize).min(count - 1)].push(*sample);
    }
    sorted.iter().filter_map(|samples| CalibrationBin::from_samples(samples)).collect()
}

/// `count` bins with the same number of samples.
pub(super) fn bins_by_mass(samples: &[WeightedSample], count: usize) -> Vec<CalibrationBin> {
    let mut sorted: Vec<WeightedSample> = samples.iter().copied().filter(|sample| sample.weight > 0.0).collect();
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    let edge = |bin: usize| bin * sorted.len() / count;
    (0..count).filter_map(|bin| CalibrationBin::from_samples(&sorted[edge(bin)..edge(bin + 1)])).collect()
}

/// Expected calibration error: the difference between mean probability and share of good samples in a bin, averaged
/// over the samples.
pub fn calibration_error(bins: &[CalibrationBin]) -> Option<f64> {
    let total: f64 = bins.iter().map(|bin| bin.weight).sum();
    let sum: f64 = bins.iter().map(|bin| bin.weight * (bin.predicted - bin.observed).abs()).sum();
    (total > 0.0).then(|| sum / total)
}

/// The accuracy of the part of the samples whose score reaches a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CoveragePoint {
    /// Share of the samples that is accepted.
    pub coverage: f64,
    /// Lowest score that is accepted.
    pub threshold: f64,
    /// Share of good samples among the accepted.
    pub accuracy: f64,
}

/// The points of all thresholds, from the highest on. Samples with the same score are accepted together.
pub(super) fn coverage_curve(samples: &[WeightedSample]) -> Vec<CoveragePoint> {
    let mut sorted: Vec<WeightedSample> = samples.iter().copied().filter(|sample| sample.weight > 0.0).collect();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    let total: f64 = sorted.iter().map(|sample| sample.weight).sum();
    let (mut weight, mut good) = (0.0, 0.0);
    let points = sorted.chunk_by(tied).map(|tied| {
        weight += tied.iter().map(|sample| sample.weight).sum::<f64>();
        good += tied.iter().map(|sample| sample.weight * outcome(sample)).sum::<f64>();
        CoveragePoint { coverage: weight / total, threshold: tied[0].score, accuracy: good / weight }
    });
    points.collect()
}

/// The point of the highest threshold that accepts at least `coverage` of the samples.
pub(super) fn at_coverage(curve: &[CoveragePoint], coverage: f64) -> Option<CoveragePoint> {
    // The shares are sums of rounded numbers.
    curve.iter().copied().find(|point| point.coverage >= coverage - 1e-9)
}

#[cfg(test)]
mod tests;
