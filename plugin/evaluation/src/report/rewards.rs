//! How well the rewards of drafted steps separate right answers from wrong ones.

use serde::{Deserialize, Serialize};

use super::outcome::MethodAnswers;
use crate::statistics::{BootstrapResamples, Estimate, ScoredSample, auc_estimate};

/// Bins of the histograms, over rewards from 0 to 1.
const BINS: usize = 20;

/// The rewards in a method's answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RewardReport {
    /// The method's name.
    pub method: String,
    /// Drafted steps that have a reward, in answers that are right.
    pub right: RewardHistogram,
    /// In answers that are wrong.
    pub wrong: RewardHistogram,
    /// The chance that a step of a right answer has a higher reward than a step of a wrong answer.
    pub auc_steps: Option<Estimate>,
    /// The same for the last scored step of each answer.
    pub auc_last: Option<Estimate>,
}

/// The distribution of rewards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RewardHistogram {
    /// Number of answers with at least one reward.
    pub answers: usize,
    /// Number of steps.
    pub steps: usize,
    /// Mean reward; `None` without steps.
    pub mean: Option<f64>,
    /// Number of steps by reward, in bins of equal width from 0 to 1.
    pub bins: Vec<usize>,
}

impl RewardReport {
    /// `None` without rewards.
    pub(super) fn of(method: &str, answers: &MethodAnswers) -> Option<Self> {
        let (mut steps, mut last) = (Vec::new(), Vec::new());
        let mut right = RewardHistogram { answers: 0, steps: 0, mean: None, bins: vec![0; BINS] };
        let mut wrong = right.clone();
        for (item, samples) in answers.values().enumerate() {
            for graded in samples {
                // Rejected drafts were scored too and count here.
                let rewards: Vec<f64> = graded.answer.steps.iter().filter_map(|step| step.reward).collect();
                let scored = |&score: &f64| ScoredSample { score, good: graded.right, item };
                steps.extend(rewards.iter().map(scored));
                last.extend(rewards.last().map(scored));
                (if graded.right { &mut right } else { &mut wrong }).add(&rewards);
            }
        }
        let resamples = BootstrapResamples::new(answers.len());
        (!steps.is_empty()).then(|| Self {
            method: method.to_owned(),
            right,
            wrong,
            auc_steps: auc_estimate(&steps, &resamples),
            auc_last: auc_estimate(&last, &resamples),
        })
    }
}

impl RewardHistogram {
    fn add(&mut self, rewards: &[f64]) {
        let sum = self.mean.unwrap_or(0.0) * self.steps as f64 + rewards.iter().sum::<f64>();
        self.answers += usize::from(!rewards.is_empty());
        self.steps += rewards.len();
        self.mean = (self.steps > 0).then(|| sum / self.steps as f64);
        for reward in rewards {
            // A reward of exactly 1 belongs to the last bin.
            let bin = (1..BINS).rev().find(|&bin| *reward >= bin as f64 / BINS as f64).unwrap_or(0);
            self.bins[bin] += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewards_fall_into_bins_that_hold_their_lower_edge() {
        let mut histogram = RewardHistogram { answers: 0, steps: 0, mean: None, bins: vec![0; BINS] };
        histogram.add(&[0.0, 0.049, 0.05, 0.5, 0.95]);
        histogram.add(&[1.0]);
        histogram.add(&[]);
        let found: Vec<(usize, usize)> = histogram.bins.iter().copied().enumerate().filter(|(_, n)| *n > 0).collect();
        assert_eq!(found, [(0, 2), (1, 1), (10, 1), (19, 2)]);
        assert_eq!((histogram.answers, histogram.steps), (2, 6));
        assert!((histogram.mean.unwrap() - 2.549 / 6.0).abs() < 1e-12);
    }
}
