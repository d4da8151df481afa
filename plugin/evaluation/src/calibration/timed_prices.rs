//! What the tokens of both models cost in time, from answers that were timed.

use crate::run_log::{Answer, ModelWork};

/// What the tokens of draft and target cost.
#[derive(Clone, Copy)]
pub(super) struct TimedPrices {
    draft: WorkPrice,
    target: WorkPrice,
}

impl TimedPrices {
    /// From the answers of target and draft in a log; `None` if one of them was not timed.
    pub fn of(answers: &[Answer]) -> Option<Self> {
        let works = |method: &str, of: fn(&Answer) -> ModelWork| -> Vec<ModelWork> {
            answers.iter().filter(|answer| answer.method == method).map(of).collect()
        };
        let draft = WorkPrice::fit(&works("draft", |answer| answer.draft))?;
        let target = WorkPrice::fit(&works("target", |answer| answer.target))?;
        Some(Self { draft, target })
    }

    /// The time of an answer. Scores are computed anew at each threshold, so their time is a measured one.
    pub fn seconds(self, answer: &Answer) -> f64 {
        self.draft.seconds(answer.draft) + self.target.seconds(answer.target) + answer.reward.seconds
    }
}

/// Seconds per token of one model.
#[derive(Debug, Clone, Copy, PartialEq)]
struct WorkPrice {
    prefill: f64,
    decode: f64,
}

impl WorkPrice {
    /// The prices that explain the times of these answers best (least squares), none below 0. `None` if no answer was
    /// timed.
    fn fit(answers: &[ModelWork]) -> Option<Self> {
        let sum = |of: fn(&ModelWork) -> f64| answers.iter().map(of).sum::<f64>();
        let prefill_squared = sum(|work| (work.prefilled as f64).powi(2));
        let decode_squared = sum(|work| (work.generated as f64).powi(2));
        let both = sum(|work| work.prefilled as f64 * work.generated as f64);
        let prefill_time = sum(|work| work.prefilled as f64 * work.seconds);
        let decode_time = sum(|work| work.generated as f64 * work.seconds);
        let determinant = prefill_squared * decode_squared - both * both;
        // Where the best pair has a negative price, the other one alone is best.
        let candidates = [
            Self {
                prefill: (prefill_time * decode_squared - decode_time * both) / determinant,
                decode: (decode_time * prefill_squared - prefill_time * both) / determinant,
            },
            Self { prefill: 0.0, decode: decode_time / decode_squared },
            Self { prefill: prefill_time / prefill_squared, decode: 0.0 },
        ];
        let residual =
            |price: &Self| -> f64 { answers.iter().map(|work| (price.seconds(*work) - work.seconds).powi(2)).sum() };
        let is_price = |price: f64| price.is_finite() && price >= 0.0;
        let possible = candidates.into_iter().filter(|found| is_price(found.prefill) && is_price(found.decode));
        let best = possible.min_by(|a, b| residual(a).total_cmp(&residual(b)));
        best.filter(|_| answers.iter().any(|work| work.seconds > 0.0))
    }

    /// The time that this work takes.
    fn seconds(self, work: ModelWork) -> f64 {
        self.prefill * work.prefilled as f64 + self.decode * work.generated as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn work(prefilled: usize, generated: usize, seconds: f64) -> ModelWork {
        ModelWork { generated, prefilled, seconds }
    }

    #[test]
    fn without_times_there_is_no_price() {
        assert_eq!(WorkPrice::fit(&[]), None);
        assert_eq!(WorkPrice::fit(&[work(10, 20, 0.0)]), None);
    }

    #[test]
    fn one_answer_is_explained_by_its_larger_part() {
        let price = WorkPrice::fit(&[work(10, 100, 2.0)]).unwrap();
        assert!((price.seconds(work(10, 100, 0.0)) - 2.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn true_prices_are_found(
            works in proptest::collection::vec((1usize..300, 1usize..400), 3..40),
            prefill in 0.0f64..0.1,
            decode in 0.001f64..0.1,
        ) {
            let timed = |&(p, g): &(usize, usize)| work(p, g, prefill * p as f64 + decode * g as f64);
            let answers: Vec<ModelWork> = works.iter().map(timed).collect();
            let price = WorkPrice::fit(&answers).unwrap();
            for answer in answers {
                prop_assert!((price.seconds(answer) - answer.seconds).abs() < 1e-6 * answer.seconds.max(1.0));
            }
        }

        #[test]
        fn prices_are_never_negative(works in proptest::collection::vec((0usize..300, 0usize..400, 0.0f64..9.0), 1..20)) {
            let answers: Vec<ModelWork> = works.into_iter().map(|(p, g, seconds)| work(p, g, seconds)).collect();
            if let Some(price) = WorkPrice::fit(&answers) {
                prop_assert!(price.seconds(work(1, 0, 0.0)) >= 0.0 && price.seconds(work(0, 1, 0.0)) >= 0.0);
            }
        }
    }
}
