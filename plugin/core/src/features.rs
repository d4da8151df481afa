//! The input of a resident reward: the hidden states of the draft and statistics of its tokens, collected while the
//! draft generates a step.

use crate::logits::normalizer_and_entropy;

/// Names of the token statistics, in the order of [`StepFeatures::statistics`]. Log-probabilities are natural, of the model's own
/// distribution before temperature, filters and penalties; entropies are of the same distribution, in nats.
pub const STATISTICS: [&str; 6] =
    ["mean_logprob", "min_logprob", "mean_entropy", "max_entropy", "last_entropy", "tokens"];

/// The features of one step. A *state* is the hidden state after the final norm, `hidden_size` numbers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepFeatures {
    /// The state that the last token of the step was sampled from, which covers all tokens before that one. Where the
    /// model ended its answer, it is the state that the end token was sampled from.
    pub last: Vec<f32>,
    /// Mean of the states that the tokens of the step were sampled from.
    pub mean: Vec<f32>,
    /// The statistics named in [`STATISTICS`].
    pub statistics: [f32; STATISTICS.len()],
}

/// Collects the features of a step token by token.
#[derive(Debug, Clone)]
pub struct FeatureCollector {
    last: Vec<f32>,
    sum: Vec<f32>,
    tokens: usize,
    logprob: RunningSum,
    entropy: RunningSum,
    last_entropy: f32,
}

/// A running sum with its extremes.
#[derive(Debug, Clone, Copy)]
struct RunningSum {
    total: f64,
    least: f32,
    most: f32,
}

impl Default for RunningSum {
    fn default() -> Self {
        Self { total: 0.0, least: f32::INFINITY, most: f32::NEG_INFINITY }
    }
}

impl RunningSum {
    fn add(&mut self, value: f32) {
        self.total += f64::from(value);
        self.least = self.least.min(value);
        self.most = self.most.max(value);
    }

    #[allow(clippy::cast_possible_truncation, reason = "features are f32")]
    fn mean(self, count: usize) -> f32 {
        (self.total / count as f64) as f32
    }
}

impl FeatureCollector {
    /// A collector for states of `hidden_size` numbers.
    #[must_use]
    pub fn new(hidden_size: usize) -> Self {
        Self {
            last: vec![0.0; hidden_size],
            sum: vec![0.0; hidden_size],
            tokens: 0,
            logprob: RunningSum::default(),
            entropy: RunningSum::default(),
            last_entropy: 0.0,
        }
    }

    /// Adds one sampled token with the logits as the model computed them and the state that they come from.
    pub fn add_token(&mut self, logits: &[f32], state: &[f32], token: u32) {
        let (log_z, entropy) = normalizer_and_entropy(logits);
        self.logprob.add(logits.get(token as usize).map_or(f32::NEG_INFINITY, |logit| logit - log_z));
        self.entropy.add(entropy);
        self.last_entropy = entropy;
        self.last.copy_from_slice(state);
        for (sum, value) in self.sum.iter_mut().zip(state) {
            *sum += value;
        }
        self.tokens += 1;
    }

    /// The features of the step, after which the next step begins; `None` if the step has no tokens.
    pub fn take_features(&mut self) -> Option<StepFeatures> {
        let seen = std::mem::replace(self, Self::new(self.last.len()));
        let count = seen.tokens;
        (count > 0).then(|| StepFeatures {
            mean: seen.sum.iter().map(|sum| sum / count as f32).collect(),
            last: seen.last,
            statistics: [
                seen.logprob.mean(count),
                seen.logprob.least,
                seen.entropy.mean(count),
                seen.entropy.most,
                seen.last_entropy,
                count as f32,
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_two_tokens() {
        let mut collector = FeatureCollector::new(2);
        assert_eq!(collector.take_features(), None);
        collector.add_token(&[0.0, 0.0], &[1.0, 2.0], 0);
        collector.add_token(&[0.0, 3f32.ln()], &[3.0, -2.0], 1);
        let features = collector.take_features().unwrap();
        assert_eq!((features.last, features.mean), (vec![3.0, -2.0], vec![2.0, 0.0]));
        let even = 2f32.ln();
        let skewed = 4f32.ln() - 0.75 * 3f32.ln();
        let (mean_logprob, mean_entropy) = (f32::midpoint(-even, 0.75f32.ln()), f32::midpoint(even, skewed));
        let expected = [mean_logprob, -even, mean_entropy, even, skewed, 2.0];
        for (found, expected) in features.statistics.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        assert_eq!(collector.take_features(), None, "the next step begins empty");
    }
}
