//! What a resident head may look at: the draft's own states and how sure it was, gathered while it writes a step.

/// Names of the token statistics, in the order they are written. Log-probabilities are natural, of the model's own
/// distribution before temperature, filters and penalties; entropies are of the same distribution, in nats.
pub const STATISTICS: [&str; 6] =
    ["mean_logprob", "min_logprob", "mean_entropy", "max_entropy", "last_entropy", "tokens"];

/// Logits this far below the largest are left out of sums: together they weigh less than 5e-5 at 152k entries.
const NEGLIGIBLE: f32 = -22.0;

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

/// `ln sum exp(l)` and the entropy of `softmax(l)`, in one pass over the logits after their maximum.
#[allow(clippy::cast_possible_truncation, reason = "features are f32")]
fn normaliser_and_entropy(logits: &[f32]) -> (f32, f32) {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut z, mut weighted) = (0.0f64, 0.0f64);
    for logit in logits {
        let below = logit - max;
        if below > NEGLIGIBLE {
            let weight = f64::from(below.exp());
            z += weight;
            weighted += weight * f64::from(below);
        }
    }
    (max + z.ln() as f32, (z.ln() - weighted / z).max(0.0) as f32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn entropy_and_log_probability_are_those_of_the_definition(logits in proptest::collection::vec(-60f32..20.0, 1..300)) {
            let (log_z, entropy) = normaliser_and_entropy(&logits);
            let exact: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum::<f64>().ln();
            let expected: f64 = logits.iter().map(|l| (f64::from(*l) - exact).exp() * (exact - f64::from(*l))).sum();
            prop_assert!((f64::from(log_z) - exact).abs() < 1e-4);
            prop_assert!((f64::from(entropy) - expected).abs() < 1e-3, "{entropy} {expected}");
        }
    }
}
