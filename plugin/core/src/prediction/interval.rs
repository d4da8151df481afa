//! 95 % intervals: by a bootstrap over answers, which accounts for the similarity of the steps of one answer, and by
//! Wilson's formula.

use rsd_protocol::preview::ConfidenceInterval;
use rsd_statistics::{BootstrapResamples, expanded_tail};

use super::work::ExpectedWork;

/// Number of bootstrap resamples.
const RESAMPLES: usize = 200;

/// More answers than this are drawn in blocks of neighbors, which bounds the time and changes little.
const BLOCKS: usize = 128;

/// Fixed, so that the same record gives the same interval.
const SEED: u64 = 0x5eed;

/// Draws blocks of answers with replacement; the same draws for every threshold.
#[derive(Debug)]
pub(super) struct AnswerBootstrap {
    answers: usize,
    blocks: usize,
    resamples: BootstrapResamples,
    /// How many resamples lie beyond either end of an interval.
    tail: usize,
}

impl AnswerBootstrap {
    pub fn new(answers: usize) -> Self {
        let blocks = answers.min(BLOCKS);
        // One block can only be drawn again: its resamples would be no interval.
        let count = if blocks > 1 { RESAMPLES } else { 0 };
        let resamples = BootstrapResamples::with_seed(blocks, count, SEED);
        Self { answers, blocks, resamples, tail: expanded_tail(blocks, RESAMPLES) }
    }

    /// The work on each block.
    pub fn blocks(&self, answers: impl Iterator<Item = ExpectedWork>) -> Vec<ExpectedWork> {
        let mut blocks = vec![ExpectedWork::default(); self.blocks];
        for (index, answer) in answers.enumerate() {
            let block = &mut blocks[index * self.blocks / self.answers];
            *block = *block + answer;
        }
        blocks
    }

    /// The work on each resample; empty if there is only one answer.
    pub fn resamples(&self, blocks: &[ExpectedWork]) -> Vec<ExpectedWork> {
        self.resamples.map(|drawn| drawn.iter().map(|block| blocks[*block]).sum())
    }

    /// The middle 95 % of the figure over the resamples, widened to include the value.
    pub fn percentile_interval(
        &self,
        value: f64,
        resamples: &[ExpectedWork],
        figure: impl Fn(&ExpectedWork) -> f64,
    ) -> ConfidenceInterval {
        let figures = resamples.iter().map(figure).filter(|figure| figure.is_finite()).collect();
        let ends = rsd_statistics::percentile_interval(figures, self.tail);
        let (low, high) = ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value)));
        ConfidenceInterval { value, low, high }
    }
}

/// Wilson's interval of a fraction observed in `n` independent trials.
pub(super) fn wilson(value: f64, n: f64) -> ConfidenceInterval {
    let rsd_statistics::Estimate { value, low, high } = rsd_statistics::wilson(value, n);
    ConfidenceInterval { value, low, high }
}

/// The first interval, widened to hold the second.
pub(super) fn hull(interval: ConfidenceInterval, other: ConfidenceInterval) -> ConfidenceInterval {
    ConfidenceInterval { low: interval.low.min(other.low), high: interval.high.max(other.high), ..interval }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_answers_are_drawn_in_blocks_and_none_is_lost() {
        let answer = ExpectedWork { steps: 1.0, ..ExpectedWork::default() };
        let bootstrap = AnswerBootstrap::new(1000);
        let blocks = bootstrap.blocks(std::iter::repeat_n(answer, 1000));
        let total: ExpectedWork = blocks.iter().copied().sum();
        assert!((total.steps - 1000.0).abs() < 1e-9);
        let resamples = bootstrap.resamples(&blocks);
        assert_eq!(resamples.len(), RESAMPLES);
        let mean = resamples.iter().map(|work| work.steps).sum::<f64>() / RESAMPLES as f64;
        assert!((mean - 1000.0).abs() < 5.0, "{mean}");
    }
}
