//! Proportions: Wilson's interval of one, and `McNemar`'s test of two that were seen on the same items.

use crate::Estimate;

/// 97.5 % of a normal distribution lie below this many standard deviations.
pub const NORMAL_97_5: f64 = 1.959_964;

/// Wilson's 95 % interval of a proportion seen on `n` independent trials.
#[must_use]
pub fn wilson(value: f64, n: f64) -> Estimate {
    let spread = NORMAL_97_5 * (value * (1.0 - value) / n + NORMAL_97_5 * NORMAL_97_5 / (4.0 * n * n)).sqrt();
    let (middle, scale) = (value + NORMAL_97_5 * NORMAL_97_5 / (2.0 * n), 1.0 + NORMAL_97_5 * NORMAL_97_5 / n);
    let (low, high) = ((middle - spread) / scale, (middle + spread) / scale);
    Estimate { value, low: low.clamp(0.0, value), high: high.clamp(value, 1.0) }
}

/// `McNemar`'s exact test, two-sided: how likely a split at least this uneven is if either side is equally often the
/// only one to succeed.
#[must_use]
pub fn mcnemar(only_one: usize, only_other: usize) -> f64 {
    let differ = only_one + only_other;
    let rarer = only_one.min(only_other);
    // The terms of the binomial distribution, as logarithms: 2^-differ is no f64 for more than a thousand.
    let mut term = -(differ as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=rarer {
        tail += term.exp();
        term += ((differ - k) as f64 / (k + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wilsons_interval_of_eight_in_ten() {
        let interval = wilson(0.8, 10.0);
        assert!((interval.low - 0.4902).abs() < 1e-4 && (interval.high - 0.9433).abs() < 1e-4, "{interval:?}");
        let all = wilson(1.0, 10.0);
        assert!((all.low - 0.7225).abs() < 1e-4 && all.high >= 1.0, "{all:?}");
    }

    #[test]
    fn the_exact_test_gives_the_textbook_values() {
        // 2 * (C(10,0) + C(10,1) + C(10,2)) / 2^10.
        assert!((mcnemar(2, 8) - 112.0 / 1024.0).abs() < 1e-12);
        assert!((mcnemar(0, 5) - 2.0 / 32.0).abs() < 1e-12);
        assert_eq!((mcnemar(0, 0), mcnemar(5, 5)), (1.0, 1.0));
        // 2^-2000 is below the smallest f64; an even split of so many is still no difference.
        assert!((mcnemar(999, 1001) - 0.982).abs() < 0.001, "{}", mcnemar(999, 1001));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn p_is_a_chance_that_does_not_ask_which_is_which(one in 0usize..3000, other in 0usize..3000) {
            let p = mcnemar(one, other);
            prop_assert!((0.0..=1.0).contains(&p));
            prop_assert_eq!(p.to_bits(), mcnemar(other, one).to_bits());
            // A more uneven split of as many is never likelier.
            prop_assert!(one.min(other) == 0 || mcnemar(one.min(other) - 1, one.max(other) + 1) <= p);
        }
    }
}
