//! 95 % intervals: by bootstrap over answers, so that the likeness of an answer's steps counts, and by Wilson's formula.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rsd_protocol::preview::Interval;

use super::work::Work;

/// How often the answers are drawn anew.
const RESAMPLES: usize = 200;

/// Answers beyond so many are drawn in blocks of neighbours, which bounds the time and changes little.
const BLOCKS: usize = 128;

/// 97.5 % of a normal distribution lie below so many standard deviations.
const Z: f64 = 1.959_964;

/// Fixed, so that the same record gives the same answer.
const SEED: u64 = 0x5eed;

/// Draws blocks of answers with replacement; the same draws for every threshold.
#[derive(Debug)]
pub(super) struct Bootstrap {
    answers: usize,
    blocks: usize,
    draws: Vec<usize>,
    /// How many resamples lie beyond either end of an interval.
    beyond: usize,
}

impl Bootstrap {
    pub fn new(answers: usize) -> Self {
        let blocks = answers.min(BLOCKS);
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let total = if blocks > 1 { RESAMPLES * blocks } else { 0 };
        let draws = (0..total).map(|_| rng.random_range(0..blocks)).collect();
        Self { answers, blocks, draws, beyond: beyond(blocks) }
    }

    /// The work on each block.
    pub fn blocks(&self, answers: impl Iterator<Item = Work>) -> Vec<Work> {
        let mut blocks = vec![Work::default(); self.blocks];
        for (index, answer) in answers.enumerate() {
            let block = &mut blocks[index * self.blocks / self.answers];
            *block = *block + answer;
        }
        blocks
    }

    /// The work on each resample; none where one answer is all there is.
    pub fn resamples(&self, blocks: &[Work]) -> Vec<Work> {
        self.draws.chunks(self.blocks.max(1)).map(|draws| draws.iter().map(|block| blocks[*block]).sum()).collect()
    }

    /// The middle 95 % of what the resamples say, and the value itself.
    pub fn around(&self, value: f64, resamples: &[Work], figure: impl Fn(&Work) -> f64) -> Interval {
        let mut figures: Vec<f64> = resamples.iter().map(figure).filter(|figure| figure.is_finite()).collect();
        figures.sort_unstable_by(f64::total_cmp);
        let ends = figures.get(self.beyond).zip(figures.iter().rev().nth(self.beyond));
        let (low, high) = ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value)));
        Interval { value, low, high }
    }
}

/// 2.5 % of the resamples for many answers; fewer for few, because a resample of n answers varies too little by
/// sqrt((n - 1) / n) and the normal distribution is too narrow for them: the expanded percentile interval.
fn beyond(answers: usize) -> usize {
    let freedom = answers.saturating_sub(1).max(1) as f64;
    let student = Z * (1.0 + (Z * Z + 1.0) / (4.0 * freedom));
    let z = student * ((freedom + 1.0) / freedom).sqrt();
    // The normal distribution's tail, to four places.
    let tail = 1.0 / (1.0 + (0.070_56 * z.powi(3) + 1.597_6 * z).exp());
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the resamples")]
    let beyond = (tail * RESAMPLES as f64).round() as usize;
    beyond
}

/// Wilson's interval of a fraction seen on `n` independent trials.
pub(super) fn wilson(value: f64, n: f64) -> Interval {
    let spread = Z * (value * (1.0 - value) / n + Z * Z / (4.0 * n * n)).sqrt();
    let (middle, scale) = (value + Z * Z / (2.0 * n), 1.0 + Z * Z / n);
    let (low, high) = ((middle - spread) / scale, (middle + spread) / scale);
    Interval { value, low: low.clamp(0.0, value), high: high.clamp(value, 1.0) }
}

/// The first interval, widened to hold the second.
pub(super) fn hull(interval: Interval, other: Interval) -> Interval {
    Interval { low: interval.low.min(other.low), high: interval.high.max(other.high), ..interval }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilsons_interval_of_eight_in_ten() {
        let interval = wilson(0.8, 10.0);
        assert!((interval.low - 0.4902).abs() < 1e-4 && (interval.high - 0.9433).abs() < 1e-4, "{interval:?}");
        let all = wilson(1.0, 10.0);
        assert!((all.low - 0.7225).abs() < 1e-4 && all.high >= 1.0, "{all:?}");
    }

    #[test]
    fn few_answers_leave_fewer_resamples_outside() {
        assert_eq!([2, 5, 12, 128].map(beyond), [0, 0, 2, 5]);
    }

    #[test]
    fn many_answers_are_drawn_in_blocks_and_none_is_lost() {
        let answer = Work { steps: 1.0, ..Work::default() };
        let bootstrap = Bootstrap::new(1000);
        let blocks = bootstrap.blocks(std::iter::repeat_n(answer, 1000));
        let total: Work = blocks.iter().copied().sum();
        assert!((total.steps - 1000.0).abs() < 1e-9);
        let resamples = bootstrap.resamples(&blocks);
        assert_eq!(resamples.len(), RESAMPLES);
        let mean = resamples.iter().map(|work| work.steps).sum::<f64>() / RESAMPLES as f64;
        assert!((mean - 1000.0).abs() < 5.0, "{mean}");
    }
}
