//! What a resident head may look at: the draft's own states and how sure it was, gathered while it writes a step.

use crate::logits::normaliser_and_entropy;

/// Names of the token statistics, in the order they are written. Log-probabilities are natural, of the model's own
/// distribution before temperature, filters and penalties; entropies are of the same distribution, in nats.
pub const STATISTICS: [&str; 6] =
    ["mean_logprob", "min_logprob", "mean_entropy", "max_entropy", "last_entropy", "tokens"];

/// The features of one step. A *state* is the hidden state after the final norm, `hidden_size` numbers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepFeatures {
    /// The state from which the step's last token was chosen, which has seen all tokens before that one. Where the
    /// model ended its answer, it is the state that chose to.
    pub last: Vec<f32>,
    /// Mean of the states from which the step's tokens were chosen.
    pub mean: Vec<f32>,
    /// As named by [`STATISTICS`].
    pub statistics: [f32; STATISTICS.len()],
}

/// Gathers a step's features token by token.
#[derive(Debug, Clone)]
pub struct Observer {
    last: Vec<f32>,
    sum: Vec<f32>,
    tokens: usize,
    logprob: Sum,
    entropy: Sum,
    last_entropy: f32,
}

/// A running sum with its extremes.
#[derive(Debug, Clone, Copy)]
struct Sum {
    total: f64,
    least: f32,
    most: f32,
}

impl Default for Sum {
    fn default() -> Self {
        Self { total: 0.0, least: f32::INFINITY, most: f32::NEG_INFINITY }
    }
}

impl Sum {
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

impl Observer {
    /// For states of `hidden_size` numbers.
    #[must_use]
    pub fn new(hidden_size: usize) -> Self {
        Self {
            last: vec![0.0; hidden_size],
            sum: vec![0.0; hidden_size],
            tokens: 0,
            logprob: Sum::default(),
            entropy: Sum::default(),
            last_entropy: 0.0,
        }
    }

    /// Sees one chosen token: the logits over the vocabulary as the model gave them, and the state they come from.
    pub fn observe(&mut self, logits: &[f32], state: &[f32], token: u32) {
        let (log_z, entropy) = normaliser_and_entropy(logits);
        self.logprob.add(logits.get(token as usize).map_or(f32::NEG_INFINITY, |logit| logit - log_z));
        self.entropy.add(entropy);
        self.last_entropy = entropy;
        self.last.copy_from_slice(state);
        for (sum, value) in self.sum.iter_mut().zip(state) {
            *sum += value;
        }
        self.tokens += 1;
    }

    /// The step's features; the next step begins. `None` where no token was seen.
    pub fn take(&mut self) -> Option<StepFeatures> {
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
        let mut observer = Observer::new(2);
        assert_eq!(observer.take(), None);
        observer.observe(&[0.0, 0.0], &[1.0, 2.0], 0);
        observer.observe(&[0.0, 3f32.ln()], &[3.0, -2.0], 1);
        let features = observer.take().unwrap();
        assert_eq!((features.last, features.mean), (vec![3.0, -2.0], vec![2.0, 0.0]));
        let even = 2f32.ln();
        let skewed = 4f32.ln() - 0.75 * 3f32.ln();
        let expected = [(-even + 0.75f32.ln()) / 2.0, -even, (even + skewed) / 2.0, even, skewed, 2.0];
        for (found, expected) in features.statistics.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        assert_eq!(observer.take(), None, "the next step begins empty");
    }
}
