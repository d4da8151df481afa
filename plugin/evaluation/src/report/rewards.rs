//! How far the rewards of drafted steps tell right answers from wrong ones.

use serde::Serialize;

use super::outcome::Answers;
use crate::statistics::{Draws, Figure, Scored, auc};

/// Bins of the histograms, over rewards from 0 to 1.
const BINS: usize = 20;

/// The rewards in a method's answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rewards {
    /// The method.
    pub method: String,
    /// Drafted steps that have a reward, in answers that are right.
    pub right: Histogram,
    /// In answers that are wrong.
    pub wrong: Histogram,
    /// How likely a step of a right answer has a higher reward than one of a wrong answer.
    pub auc_steps: Option<Figure>,
    /// The same for the last of such steps of each answer.
    pub auc_last: Option<Figure>,
}

/// How rewards are distributed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Histogram {
    /// Answers.
    pub answers: usize,
    /// Steps.
    pub steps: usize,
    /// Their mean reward, if there are any.
    pub mean: Option<f64>,
    /// Steps by reward, in bins of one width from 0 to 1.
    pub bins: Vec<usize>,
}

impl Rewards {
    /// None without rewards.
    pub(super) fn of(method: &str, answers: &Answers) -> Option<Self> {
        let (mut steps, mut last) = (Vec::new(), Vec::new());
        let mut right = Histogram { answers: 0, steps: 0, mean: None, bins: vec![0; BINS] };
        let mut wrong = right.clone();
        for (question, samples) in answers.values().enumerate() {
            for graded in samples {
                // A step that was sent back was drafted too, and judged.
                let rewards: Vec<f64> = graded.answer.steps.iter().filter_map(|step| step.reward).collect();
                let scored = |&score: &f64| Scored { score, good: graded.right, question };
                steps.extend(rewards.iter().map(scored));
                last.extend(rewards.last().map(scored));
                (if graded.right { &mut right } else { &mut wrong }).add(&rewards);
            }
        }
        let draws = Draws::new(answers.len());
        (!steps.is_empty()).then(|| Self {
            method: method.to_owned(),
            right,
            wrong,
            auc_steps: auc(&steps, &draws),
            auc_last: auc(&last, &draws),
        })
    }
}

impl Histogram {
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
        let mut histogram = Histogram { answers: 0, steps: 0, mean: None, bins: vec![0; BINS] };
        histogram.add(&[0.0, 0.049, 0.05, 0.5, 0.95]);
        histogram.add(&[1.0]);
        histogram.add(&[]);
        let found: Vec<(usize, usize)> = histogram.bins.iter().copied().enumerate().filter(|(_, n)| *n > 0).collect();
        assert_eq!(found, [(0, 2), (1, 1), (10, 1), (19, 2)]);
        assert_eq!((histogram.answers, histogram.steps), (2, 6));
        assert!((histogram.mean.unwrap() - 2.549 / 6.0).abs() < 1e-12);
    }
}
