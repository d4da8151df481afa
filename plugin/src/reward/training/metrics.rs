//! How good scores are: ranking, calibration, and what is gained by keeping only the best.

use serde::Serialize;

use super::network::cross_entropy;

/// One judged thing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Higher is better; a probability where a measure says so.
    pub score: f64,
    /// Whether it was good.
    pub good: bool,
    /// How often it counts.
    pub weight: f64,
}

/// Same score: exactly, for only then no threshold parts them.
#[allow(clippy::float_cmp)]
fn tied(a: &Sample, b: &Sample) -> bool {
    a.score == b.score
}

/// Area under the ROC curve: the chance that a good sample has a higher score than a bad one, ties counting half
/// (Mann and Whitney's U). None if there are only good or only bad ones, or a score is not a number.
pub fn auc(samples: &[Sample]) -> Option<f64> {
    let mut sorted: Vec<&Sample> = samples.iter().filter(|sample| sample.weight > 0.0).collect();
    if sorted.iter().any(|sample| sample.score.is_nan()) {
        return None;
    }
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    let (mut good, mut bad, mut won) = (0.0, 0.0, 0.0);
    for tied in sorted.chunk_by(|a, b| tied(a, b)) {
        let here = |kind: bool| tied.iter().filter(|s| s.good == kind).map(|s| s.weight).sum::<f64>();
        let (good_here, bad_here) = (here(true), here(false));
        won += good_here * (bad + 0.5 * bad_here);
        good += good_here;
        bad += bad_here;
    }
    (good > 0.0 && bad > 0.0).then(|| won / (good * bad))
}

/// Mean square of the difference between probability and outcome. None without samples.
pub fn brier(samples: &[Sample]) -> Option<f64> {
    mean(samples, |sample| (sample.score - outcome(sample)).powi(2))
}

/// Mean of minus the logarithm of the probability given to what happened, in nats. None without samples.
pub fn log_loss(samples: &[Sample]) -> Option<f64> {
    mean(samples, |sample| {
        // A score of exactly 0 or 1 that is wrong would cost infinitely much.
        let p = sample.score.clamp(1e-12, 1.0 - 1e-12);
        cross_entropy((p / (1.0 - p)).ln(), outcome(sample))
    })
}

/// The share of good samples. None without samples.
pub fn share_good(samples: &[Sample]) -> Option<f64> {
    mean(samples, outcome)
}

fn outcome(sample: &Sample) -> f64 {
    f64::from(u8::from(sample.good))
}

fn mean(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> Option<f64> {
    let total: f64 = samples.iter().map(|sample| sample.weight).sum();
    let sum: f64 = samples.iter().map(|sample| sample.weight * of(sample)).sum();
    (total > 0.0).then(|| sum / total)
}

/// Samples of like probability.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// Mean probability.
    pub predicted: f64,
    /// Share of good ones.
    pub observed: f64,
    /// Samples, by weight.
    pub weight: f64,
}

impl Bin {
    fn of(samples: &[Sample]) -> Option<Self> {
        Some(Self {
            predicted: mean(samples, |sample| sample.score)?,
            observed: share_good(samples)?,
            weight: samples.iter().map(|sample| sample.weight).sum(),
        })
    }
}

/// `count` bins of the same width from 0 to 1; empty ones are left out.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the number of bins")]
pub fn bins_by_width(samples: &[Sample], count: usize) -> Vec<Bin> {
    let mut sorted = vec![Vec::new(); count];
    for sample in samples {
        sorted[((sample.score * count as f64).max(0.0) as usize).min(count - 1)].push(*sample);
    }
    sorted.iter().filter_map(|samples| Bin::of(samples)).collect()
}

/// `count` bins with the same number of samples.
pub fn bins_by_mass(samples: &[Sample], count: usize) -> Vec<Bin> {
    let mut sorted: Vec<Sample> = samples.iter().copied().filter(|sample| sample.weight > 0.0).collect();
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    let edge = |bin: usize| bin * sorted.len() / count;
    (0..count).filter_map(|bin| Bin::of(&sorted[edge(bin)..edge(bin + 1)])).collect()
}

/// Expected calibration error: by how far prediction and outcome differ in a bin, on average over the samples.
pub fn calibration_error(bins: &[Bin]) -> Option<f64> {
    let total: f64 = bins.iter().map(|bin| bin.weight).sum();
    let sum: f64 = bins.iter().map(|bin| bin.weight * (bin.predicted - bin.observed).abs()).sum();
    (total > 0.0).then(|| sum / total)
}

/// What keeping the best-scored part gives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Kept {
    /// Share that is kept.
    pub coverage: f64,
    /// Lowest score that is kept.
    pub threshold: f64,
    /// Share of good ones among the kept.
    pub accuracy: f64,
}

/// All ways to keep samples by a threshold, from the strictest on. Samples with the same score stay together.
pub fn kept(samples: &[Sample]) -> Vec<Kept> {
    let mut sorted: Vec<Sample> = samples.iter().copied().filter(|sample| sample.weight > 0.0).collect();
    sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
    let total: f64 = sorted.iter().map(|sample| sample.weight).sum();
    let (mut weight, mut good) = (0.0, 0.0);
    let ways = sorted.chunk_by(tied).map(|tied| {
        weight += tied.iter().map(|sample| sample.weight).sum::<f64>();
        good += tied.iter().map(|sample| sample.weight * outcome(sample)).sum::<f64>();
        Kept { coverage: weight / total, threshold: tied[0].score, accuracy: good / weight }
    });
    ways.collect()
}

/// The strictest way that keeps at least `coverage` of the samples.
pub fn at_coverage(ways: &[Kept], coverage: f64) -> Option<Kept> {
    // The shares are sums of rounded numbers.
    ways.iter().copied().find(|way| way.coverage >= coverage - 1e-9)
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
