//! Computations over the logits of a whole vocabulary, eight entries at a time. With 150,000 entries and one entry at a
//! time they would take a twentieth of the decode step of a small model.

use wide::{CmpGt, f32x8};

const LANES: usize = 8;
/// Entries summed in f32 before they are added up in f64.
const BLOCK: usize = 512;
/// Logits this far below the largest are left out of sums: together they weigh less than 5e-5 at 152k entries.
const NEGLIGIBLE: f32 = -22.0;

/// Eight entries from a slice of eight or fewer, filled up with negative infinity.
fn load(entries: &[f32]) -> f32x8 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    lanes[..entries.len()].copy_from_slice(entries);
    lanes.into()
}

/// The highest logit, NaN ignored; negative infinity if there is none.
pub(crate) fn max_logit(logits: &[f32]) -> f32 {
    // Comparing is false for NaN, so the entry before stays.
    let higher = |best: f32x8, entries: f32x8| entries.cmp_gt(best).blend(entries, best);
    let mut best = [f32x8::splat(f32::NEG_INFINITY); 4];
    let (blocks, rest) = logits.as_chunks::<{ 4 * LANES }>();
    for block in blocks {
        for (best, entries) in best.iter_mut().zip(block.chunks_exact(LANES)) {
            *best = higher(*best, load(entries));
        }
    }
    let best = rest.chunks(LANES).map(load).chain(best).fold(f32x8::splat(f32::NEG_INFINITY), higher);
    best.to_array().into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// The first token with the highest logit, NaN ignored.
#[must_use]
pub fn argmax(logits: &[f32]) -> u32 {
    let highest = max_logit(logits);
    #[allow(clippy::float_cmp, reason = "it is one of them")]
    let token = (0u32..).zip(logits).find(|(_, logit)| **logit == highest);
    token.map_or(0, |(token, _)| token)
}

/// `ln sum exp(l)` and the entropy of `softmax(l)` in nats. A logit minus the first is its log-probability.
#[must_use]
#[allow(clippy::cast_possible_truncation, reason = "logits are f32")]
pub fn normalizer_and_entropy(logits: &[f32]) -> (f32, f32) {
    let max = max_logit(logits);
    if max == f32::NEG_INFINITY {
        return (max, 0.0);
    }
    let (mut z, mut weighted) = (0.0f64, 0.0f64);
    for block in logits.chunks(BLOCK) {
        let (mut of_z, mut of_weighted) = (f32x8::ZERO, f32x8::ZERO);
        let mut add = |entries: f32x8| {
            let below = entries - f32x8::splat(max);
            let counts = below.cmp_gt(f32x8::splat(NEGLIGIBLE));
            let weight = counts & below.exp();
            of_z += weight;
            of_weighted += weight * (counts & below);
        };
        let (whole, rest) = block.as_chunks::<LANES>();
        for entries in whole {
            add((*entries).into());
        }
        add(load(rest));
        z += f64::from(of_z.reduce_add());
        weighted += f64::from(of_weighted.reduce_add());
    }
    (max + z.ln() as f32, (z.ln() - weighted / z).max(0.0) as f32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain_argmax(logits: &[f32]) -> u32 {
        let best = (0u32..)
            .zip(logits)
            .fold((0, f32::NEG_INFINITY), |best, (token, &logit)| if logit > best.1 { (token, logit) } else { best });
        best.0
    }

    proptest! {
        #[test]
        fn the_first_of_the_highest_wins(
            logits in proptest::collection::vec(prop_oneof![-3i8..3, Just(100)], 0..200),
            nan in proptest::collection::vec(0usize..200, 0..4),
        ) {
            // Whole numbers, so that there are ties; 100 is absence.
            let mut logits: Vec<f32> =
                logits.iter().map(|l| if *l == 100 { f32::NEG_INFINITY } else { f32::from(*l) }).collect();
            for at in nan {
                if let Some(logit) = logits.get_mut(at) {
                    *logit = f32::NAN;
                }
            }
            prop_assert_eq!(argmax(&logits), plain_argmax(&logits));
        }

        #[test]
        fn entropy_and_normalizer_are_those_of_the_definition(
            logits in proptest::collection::vec(prop_oneof![9 => -60f32..20.0, 1 => Just(f32::NEG_INFINITY)], 1..1500),
        ) {
            prop_assume!(logits.iter().any(|l| l.is_finite()));
            let (log_z, entropy) = normalizer_and_entropy(&logits);
            let finite = || logits.iter().filter(|l| l.is_finite()).map(|l| f64::from(*l));
            let exact: f64 = finite().map(f64::exp).sum::<f64>().ln();
            let expected: f64 = finite().map(|l| (l - exact).exp() * (exact - l)).sum();
            prop_assert!((f64::from(log_z) - exact).abs() < 1e-4);
            prop_assert!((f64::from(entropy) - expected).abs() < 1e-3, "{entropy} {expected}");
        }
    }

    #[test]
    fn nothing_is_likely_where_nothing_is_there() {
        assert_eq!(normalizer_and_entropy(&[f32::NEG_INFINITY; 9]), (f32::NEG_INFINITY, 0.0));
        assert_eq!((argmax(&[]), argmax(&[f32::NAN; 3]), argmax(&[f32::NEG_INFINITY; 3])), (0, 0, 0));
    }
}
