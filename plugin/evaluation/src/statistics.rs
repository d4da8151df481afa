//! Figures with the range that other questions could have given, and tests of differences.
//!
//! Intervals are 95 % percentile intervals of a bootstrap over questions. The draws are always the same ones for the
//! same number of questions, so that a log has one report.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// Times that questions are drawn anew.
const DRAWS: usize = 2000;
const SEED: u64 = 0;

/// A figure and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// On the data as it is.
    pub value: f64,
    /// 2.5 % of the draws are lower.
    pub low: f64,
    /// 2.5 % of the draws are higher.
    pub high: f64,
}

impl Figure {
    /// A figure that no draw changes.
    #[must_use]
    pub fn exact(value: f64) -> Self {
        Self { value, low: value, high: value }
    }
}

/// Draws of questions, with replacement.
pub struct Draws {
    all: Vec<usize>,
    drawn: Vec<Vec<usize>>,
}

impl Draws {
    /// Draws of as many questions as there are.
    #[must_use]
    pub fn new(questions: usize) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(SEED);
        let mut draw = || (0..questions).map(|_| random.random_range(0..questions)).collect();
        Self { all: (0..questions).collect(), drawn: (0..DRAWS).map(|_| draw()).collect() }
    }

    /// A statistic of the questions drawn, given as their places. None where it has no finite value on the data;
    /// draws where it has none are left out.
    pub fn figure(&self, statistic: impl Fn(&[usize]) -> f64) -> Option<Figure> {
        let value = statistic(&self.all);
        let mut found: Vec<f64> = self.drawn.iter().map(|drawn| statistic(drawn)).filter(|v| v.is_finite()).collect();
        if !value.is_finite() || found.is_empty() {
            return None;
        }
        found.sort_by(f64::total_cmp);
        let outside = found.len() / 40;
        Some(Figure { value, low: found[outside], high: found[found.len() - 1 - outside] })
    }

    /// Something of each draw.
    pub fn each<T>(&self, of: impl Fn(&[usize]) -> T) -> Vec<T> {
        self.drawn.iter().map(|drawn| of(drawn)).collect()
    }

    /// The mean of one value per question.
    #[must_use]
    pub fn mean(&self, values: &[f64]) -> Option<Figure> {
        self.figure(|drawn| sum(values, drawn) / drawn.len() as f64)
    }

    /// By how much the mean of one is above that of the other, question by question.
    #[must_use]
    pub fn difference(&self, values: &[f64], others: &[f64]) -> Option<Figure> {
        let differences: Vec<f64> = values.iter().zip(others).map(|(value, other)| value - other).collect();
        self.mean(&differences)
    }

    /// The sum of one over the sum of the other.
    #[must_use]
    pub fn ratio(&self, values: &[f64], others: &[f64]) -> Option<Figure> {
        self.figure(|drawn| sum(values, drawn) / sum(others, drawn))
    }
}

fn sum(values: &[f64], drawn: &[usize]) -> f64 {
    drawn.iter().map(|&place| values[place]).sum()
}

/// `McNemar`'s exact test: how likely at least so uneven a split is if both are equally often the only one to be
/// right.
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

/// Something scored that turned out good or bad.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Higher is better.
    pub score: f64,
    /// Whether it was good.
    pub good: bool,
    /// The place of its question.
    pub question: usize,
}

/// Area under the ROC curve: the chance that something good has a higher score than something bad, ties counting
/// half. None if there are only good or only bad ones.
#[must_use]
pub fn auc(scored: &[Scored], draws: &Draws) -> Option<Figure> {
    let mut sorted = scored.to_vec();
    sorted.sort_by(|a, b| a.score.total_cmp(&b.score));
    // Only scores that are exactly the same are tied.
    let groups: Vec<&[Scored]> = sorted.chunk_by(|a, b| a.score.total_cmp(&b.score).is_eq()).collect();
    draws.figure(|drawn| {
        let mut times = vec![0.0; draws.all.len()];
        for &question in drawn {
            times[question] += 1.0;
        }
        let (mut good, mut bad, mut won) = (0.0, 0.0, 0.0);
        for tied in &groups {
            let here = |kind: bool| tied.iter().filter(|s| s.good == kind).map(|s| times[s.question]).sum::<f64>();
            let (good_here, bad_here) = (here(true), here(false));
            won += good_here * (bad + 0.5 * bad_here);
            good += good_here;
            bad += bad_here;
        }
        won / (good * bad)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_interval_is_where_the_normal_approximation_has_it() {
        let values: Vec<f64> = (0..400).map(|n| if n % 4 == 0 { 0.0 } else { 1.0 }).collect();
        let figure = Draws::new(400).mean(&values).unwrap();
        let half = 1.96 * (0.75f64 * 0.25 / 400.0).sqrt();
        assert!((figure.value - 0.75).abs() < 1e-12);
        assert!(
            (figure.low - (0.75 - half)).abs() < 0.006 && (figure.high - (0.75 + half)).abs() < 0.006,
            "{figure:?}"
        );
    }

    #[test]
    fn ratios_are_of_sums_and_absent_without_a_denominator() {
        let draws = Draws::new(3);
        assert_eq!(draws.ratio(&[1.0, 2.0, 3.0], &[4.0, 4.0, 4.0]).map(|found| found.value), Some(0.5));
        assert_eq!(draws.ratio(&[1.0, 2.0, 3.0], &[0.0; 3]), None);
        assert_eq!(Draws::new(0).mean(&[]), None);
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

    fn scored(scores: &[(f64, bool)]) -> Vec<Scored> {
        let of = |(question, &(score, good)): (usize, &(f64, bool))| Scored { score, good, question };
        scores.iter().enumerate().map(of).collect()
    }

    #[test]
    fn ranking_is_one_when_the_good_are_on_top_and_a_half_when_all_are_alike() {
        let of = |scores: &[(f64, bool)]| auc(&scored(scores), &Draws::new(scores.len())).map(|found| found.value);
        assert_eq!(of(&[(0.1, false), (0.2, false), (0.8, true), (0.9, true)]), Some(1.0));
        assert_eq!(of(&[(0.5, false), (0.5, true), (0.5, true)]), Some(0.5));
        assert_eq!(of(&[(0.3, true), (0.4, true)]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_figure_lies_in_its_interval_or_beside_few_values(values in prop::collection::vec(0.0f64..1.0, 5..60)) {
            let figure = Draws::new(values.len()).mean(&values).unwrap();
            prop_assert!(figure.low <= figure.value && figure.value <= figure.high, "{:?}", figure);
        }

        #[test]
        fn what_is_compared_with_itself_differs_by_nothing(values in prop::collection::vec(0.1f64..1.0, 1..60)) {
            let draws = Draws::new(values.len());
            let same = |value| Some(Figure { value, low: value, high: value });
            prop_assert_eq!(draws.difference(&values, &values), same(0.0));
            prop_assert_eq!(draws.ratio(&values, &values), same(1.0));
        }

        #[test]
        fn p_is_a_chance_that_does_not_ask_which_is_which(one in 0usize..3000, other in 0usize..3000) {
            let p = mcnemar(one, other);
            prop_assert!((0.0..=1.0).contains(&p));
            prop_assert_eq!(p.to_bits(), mcnemar(other, one).to_bits());
            // A more uneven split of as many is never likelier.
            prop_assert!(one.min(other) == 0 || mcnemar(one.min(other) - 1, one.max(other) + 1) <= p);
        }

        #[test]
        fn turning_good_and_bad_round_turns_the_ranking_round(
            scores in prop::collection::vec(((0u8..8).prop_map(|n| f64::from(n) / 8.0), any::<bool>()), 2..40)
        ) {
            let turned: Vec<(f64, bool)> = scores.iter().map(|&(score, good)| (score, !good)).collect();
            let of = |scores: &[(f64, bool)]| auc(&scored(scores), &Draws::new(scores.len())).map(|found| found.value);
            match (of(&scores), of(&turned)) {
                (Some(one), Some(other)) => prop_assert!((one + other - 1.0).abs() < 1e-9),
                (one, other) => prop_assert_eq!(one, other),
            }
        }
    }
}
