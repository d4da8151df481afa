//! Picks one token from logits: penalties, temperature, filters, and randomness that is a function of
//! (seed, stream, position) alone.
//!
//! No state of a random generator is carried from token to token. So an answer does not depend on how it was cut into
//! runs, on other requests, or on how often a request was retried.

use std::collections::{HashMap, HashSet};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::logits::{argmax, max_logit};

/// Sampling parameters of one request. The default is greedy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sampling {
    /// The temperature; 0 is greedy.
    pub temperature: f32,
    /// Keep the k most likely tokens.
    pub top_k: Option<usize>,
    /// Keep the smallest set of tokens that holds this much probability.
    pub top_p: Option<f32>,
    /// Discard tokens less likely than this fraction of the most likely one.
    pub min_p: Option<f32>,
    /// Divides positive and multiplies negative logits of tokens that occur in prompt or answer.
    pub repetition_penalty: Option<f32>,
    /// Subtracted once per occurrence in the answer.
    pub frequency_penalty: Option<f32>,
    /// Subtracted once from tokens that occur in the answer.
    pub presence_penalty: Option<f32>,
    /// Added to the logits of these tokens.
    pub logit_bias: HashMap<u32, f32>,
    /// The seed of the request.
    pub seed: u64,
}

/// Independent streams of randomness under one seed.
///
/// A target's draws do not depend on the draft's, and a draft that resumes after a rejection never sees draws
/// again that its rejected step has used: otherwise the decision would bias what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RandomStream {
    /// The target's tokens, in RSD and alone.
    Target,
    /// One draw per answer: whether it explores.
    Exploration,
    /// One draw per decision, for weightings that accept with a probability.
    Accept,
    /// The draft's tokens after this number of rejections; a draft that answers alone has none.
    Draft {
        /// Steps of this answer rejected so far.
        rejections: u64,
    },
    /// The draft's tokens where it continues a given step, to measure how often the continuation is right.
    Continuation {
        /// The index of the given step.
        step: u32,
        /// The index of the continuation.
        index: u32,
    },
}

impl RandomStream {
    /// The number of the stream, for [`uniform`].
    #[must_use]
    pub fn id(self) -> u64 {
        match self {
            Self::Target => 0,
            Self::Accept => 1,
            // Far beyond the number of rejections in an answer.
            Self::Exploration => 1 << 62,
            Self::Draft { rejections } => 2 + rejections,
            Self::Continuation { step, index } => 1 << 63 | u64::from(step) << 32 | u64::from(index),
        }
    }
}

/// The draw from U[0, 1) at a position of a stream.
#[must_use]
pub fn uniform(seed: u64, stream: u64, position: u64) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng.set_word_pos(u128::from(position) * 2);
    rng.random()
}

/// A seed below 2^63 for one request to an engine that draws by itself: a function of the seed of the answer, the stream
/// and the position at which the engine goes on.
#[must_use]
pub fn request_seed(seed: u64, stream: u64, position: u64) -> u64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng.set_word_pos(u128::from(position) * 2);
    rng.random::<u64>() >> 1
}

/// The seed of choice `index` of a request with `n > 1`; choice 0 has the seed of the request.
#[must_use]
pub fn choice_seed(seed: u64, index: u64) -> u64 {
    // The odd constant is 2^64 / golden ratio: neighboring indices land far apart.
    seed.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// The tokens that the penalties look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenCounts {
    prompt: HashSet<u32>,
    /// How often each token occurred in the answer.
    answer: HashMap<u32, u32>,
}

impl TokenCounts {
    /// The tokens of a prefix, of which the last `answered` belong to the answer.
    #[must_use]
    pub fn of_prefix(prefix: &[u32], answered: usize) -> Self {
        let (prompt, answer) = prefix.split_at(prefix.len().saturating_sub(answered));
        let mut counts = Self { prompt: prompt.iter().copied().collect(), answer: HashMap::new() };
        for &token in answer {
            counts.add(token);
        }
        counts
    }

    /// Counts the next token of the answer.
    pub fn add(&mut self, token: u32) {
        *self.answer.entry(token).or_insert(0) += 1;
    }
}

impl Sampling {
    /// Whether any penalty needs the counts of tokens so far.
    #[must_use]
    // Only the exact neutral value is no penalty.
    #[allow(clippy::float_cmp)]
    pub fn uses_counts(&self) -> bool {
        self.repetition_penalty.is_some_and(|p| p != 1.0)
            || self.frequency_penalty.is_some_and(|p| p != 0.0)
            || self.presence_penalty.is_some_and(|p| p != 0.0)
    }

    /// Whether [`Self::pick`] changes the logits.
    #[must_use]
    pub fn changes_logits(&self) -> bool {
        self.uses_counts() || !self.logit_bias.is_empty()
    }

    /// Picks a token. `counts` holds the tokens of prompt and answer so far; `u` is the position's draw from U[0, 1) and
    /// is unused when greedy. `logits` are changed in place.
    #[must_use]
    pub fn pick(&self, logits: &mut [f32], counts: &TokenCounts, u: f64) -> u32 {
        self.adjust(logits, counts);
        if self.temperature <= 0.0 {
            return argmax(logits);
        }
        let candidates = self.candidates(logits);
        let total: f64 = candidates.iter().map(|c| f64::from(c.1)).sum();
        let mut left = u * total;
        for &(token, weight) in &candidates {
            left -= f64::from(weight);
            if left < 0.0 {
                return token;
            }
        }
        candidates.last().map_or_else(|| argmax(logits), |c| c.0)
    }

    /// Applies bias and penalties. As OpenAI defines them, frequency and presence are those in the answer; the
    /// repetition penalty covers the prompt, too.
    fn adjust(&self, logits: &mut [f32], counts: &TokenCounts) {
        for (&token, &bias) in &self.logit_bias {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit += bias;
            }
        }
        if !self.uses_counts() {
            return;
        }
        let repetition = self.repetition_penalty.unwrap_or(1.0);
        let frequency = self.frequency_penalty.unwrap_or(0.0);
        let presence = self.presence_penalty.unwrap_or(0.0);
        for (&token, &count) in &counts.answer {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit -= count as f32 * frequency + presence;
            }
        }
        for token in counts.prompt.iter().chain(counts.answer.keys().filter(|token| !counts.prompt.contains(token))) {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit = if *logit > 0.0 { *logit / repetition } else { *logit * repetition };
            }
        }
    }

    /// The tokens that may be drawn with their unnormalized weights, in an order that is a function of the logits.
    fn candidates(&self, logits: &[f32]) -> Vec<(u32, f32)> {
        let max = max_logit(logits);
        let weight = |logit: f32| ((logit - max) / self.temperature).exp();
        let mut all: Vec<(u32, f32)> =
            (0u32..).zip(logits).map(|(token, &logit)| (token, weight(logit))).filter(|c| c.1 > 0.0).collect();

        if let Some(k) = self.top_k.filter(|&k| k > 0 && k < all.len()) {
            all.select_nth_unstable_by(k - 1, most_likely_first);
            all.truncate(k);
        }
        if let Some(p) = self.top_p.filter(|&p| p < 1.0) {
            let total: f64 = all.iter().map(|c| f64::from(c.1)).sum();
            // Tokens below (1 - p) / n of the mass cannot be in the nucleus: all of them together weigh less than 1 - p.
            let floor = (1.0 - f64::from(p)) * total / all.len() as f64;
            all.retain(|c| f64::from(c.1) >= floor);
            all.sort_unstable_by(most_likely_first);
            let mut mass = 0.0;
            let nucleus = all.iter().take_while(|c| {
                let inside = mass < f64::from(p) * total;
                mass += f64::from(c.1);
                inside
            });
            let size = nucleus.count().max(1);
            all.truncate(size);
        }
        if let Some(min_p) = self.min_p.filter(|&p| p > 0.0) {
            let best = all.iter().map(|c| c.1).fold(0.0, f32::max);
            all.retain(|c| c.1 >= min_p * best);
        }
        all.sort_unstable_by_key(|c| c.0);
        all
    }
}

/// Most likely first; equal ones by token id, so that filters are the same on every run.
// By reference because sorting wants it so.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn most_likely_first(a: &(u32, f32), b: &(u32, f32)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn logits() -> impl Strategy<Value = Vec<f32>> {
        proptest::collection::vec(-20.0f32..20.0, 2..200)
    }

    proptest! {
        #[test]
        fn greedy_is_the_argmax(mut l in logits(), u in 0.0f64..1.0) {
            let best = argmax(&l);
            prop_assert_eq!(Sampling::default().pick(&mut l, &TokenCounts::default(), u), best);
        }

        #[test]
        fn top_k_of_one_is_greedy_at_any_temperature(mut l in logits(), u in 0.0f64..1.0, temperature in 0.1f32..3.0) {
            let best = argmax(&l);
            let sampling = Sampling { temperature, top_k: Some(1), ..Sampling::default() };
            prop_assert_eq!(sampling.pick(&mut l, &TokenCounts::default(), u), best);
        }

        #[test]
        fn filters_leave_only_what_they_promise(l in logits(), k in 1usize..20, p in 0.05f32..0.99, m in 0.01f32..0.9) {
            let sampling = Sampling { temperature: 1.0, top_k: Some(k), top_p: Some(p), min_p: Some(m), ..Sampling::default() };
            let left = sampling.candidates(&l);
            prop_assert!(!left.is_empty() && left.len() <= k);
            let best = left.iter().map(|c| c.1).fold(0.0, f32::max);
            prop_assert!(left.iter().all(|c| c.1 >= m * best));
            prop_assert!(left.iter().any(|c| c.0 == argmax(&l)));
        }

        #[test]
        fn the_nucleus_is_the_smallest_that_holds_p(l in logits(), p in 0.05f32..0.99) {
            let sampling = Sampling { temperature: 1.0, top_p: Some(p), ..Sampling::default() };
            let left = sampling.candidates(&l);
            let all = Sampling { temperature: 1.0, ..Sampling::default() }.candidates(&l);
            let total: f64 = all.iter().map(|c| f64::from(c.1)).sum();
            let mass: f64 = left.iter().map(|c| f64::from(c.1)).sum();
            let least = left.iter().map(|c| f64::from(c.1)).fold(f64::INFINITY, f64::min);
            prop_assert!(mass >= f64::from(p) * total * 0.999_999);
            prop_assert!(mass - least < f64::from(p) * total * 1.000_001);
        }
    }

    #[test]
    fn draws_have_the_frequencies_of_the_softmax() {
        let logits = [0.0f32, 1.0, 2.0, f32::NEG_INFINITY];
        let sampling = Sampling { temperature: 0.8, ..Sampling::default() };
        let n = 40_000u32;
        let mut seen = [0u32; 4];
        for position in 0..n {
            let u = uniform(7, 0, u64::from(position));
            seen[sampling.pick(&mut logits.to_vec(), &TokenCounts::default(), u) as usize] += 1;
        }
        let weights: Vec<f64> = logits.iter().map(|&l| f64::from(l / 0.8).exp()).collect();
        let total: f64 = weights.iter().sum();
        for (count, weight) in seen.iter().zip(weights) {
            assert!((f64::from(*count) / f64::from(n) - weight / total).abs() < 0.01, "{seen:?}");
        }
    }

    #[test]
    fn penalties_follow_their_definitions() {
        // The prompt is 0, 3; the answer 0, 1, 0.
        let counts = TokenCounts::of_prefix(&[0, 3, 0, 1, 0], 3);
        let sampling = Sampling {
            repetition_penalty: Some(2.0),
            frequency_penalty: Some(0.5),
            presence_penalty: Some(0.25),
            logit_bias: HashMap::from([(2, 1.5)]),
            ..Sampling::default()
        };
        let mut logits = [4.25, -1.0, 0.0, 3.0];
        sampling.adjust(&mut logits, &counts);
        assert_eq!(logits, [(4.25 - 1.25) / 2.0, -1.75 * 2.0, 1.5, 3.0 / 2.0]);
    }

    #[test]
    fn top_p_of_zero_leaves_the_likeliest_token() {
        let sampling = Sampling { temperature: 1.0, top_p: Some(0.0), ..Sampling::default() };
        assert_eq!(sampling.candidates(&[0.5, 2.0, 2.0, -1.0]), [(1, 1.0)]);
    }

    proptest! {
        #[test]
        fn frequency_and_presence_ignore_the_prompt(
            l in logits(), prompt in proptest::collection::vec(0u32..8, 0..20), penalty in -2.0f32..2.0,
        ) {
            let sampling = Sampling {
                frequency_penalty: Some(penalty), presence_penalty: Some(penalty), ..Sampling::default()
            };
            let mut changed = l.clone();
            sampling.adjust(&mut changed, &TokenCounts::of_prefix(&prompt, 0));
            prop_assert_eq!(changed, l);
        }
    }

    #[test]
    fn streams_and_positions_are_independent_and_repeat() {
        assert_eq!(uniform(1, 2, 3), uniform(1, 2, 3));
        let draws = [uniform(1, 2, 3), uniform(1, 2, 4), uniform(1, 3, 3), uniform(2, 2, 3)];
        for (i, a) in draws.iter().enumerate() {
            assert!(draws[i + 1..].iter().all(|b| a != b));
        }
        assert_ne!(choice_seed(5, 1), choice_seed(5, 2));
        assert_eq!(choice_seed(5, 0), 5);
    }
}
