//! A method compared with another one, on the questions that both answered.

use serde::{Deserialize, Serialize};

use super::{
    flop_counts::FlopCounts,
    outcome::{MethodOutcomes, QuestionOutcome},
};
use crate::statistics::{BootstrapResamples, Estimate, MedianRange, mcnemar};

/// Comparison with another method, on the questions that both answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodComparison {
    /// Number of these questions.
    pub questions: usize,
    /// Accuracy minus the other method's.
    pub difference: Estimate,
    /// Questions that only this method answered right. `None` where it has several samples.
    pub only_here: Option<usize>,
    /// Questions that only the other method answered right.
    #[serde(alias = "only_target")]
    pub only_other: Option<usize>,
    /// `McNemar`'s exact test, two-sided.
    pub p: Option<f64>,
    /// Tokens of the answers over tokens of the other method's answers.
    pub answer_tokens: Option<Estimate>,
    /// Tokens that the target generated for this method, over those it generated for the other.
    pub target_tokens: Option<Estimate>,
    /// FLOPs over those of the other method.
    pub flops: Option<FlopCounts<Estimate>>,
}

/// The outcomes of two methods on the questions that both answered.
pub(super) struct PairedOutcomes<'a> {
    here: &'a MethodOutcomes,
    other: &'a MethodOutcomes,
    places: Vec<usize>,
    resamples: BootstrapResamples,
}

impl<'a> PairedOutcomes<'a> {
    /// With the target alone. `None` for the target itself.
    pub fn with_target(here: &'a MethodOutcomes, all: &'a [MethodOutcomes]) -> Option<Self> {
        Self::with(here, all, "target")
    }

    /// RSD with the loop of the paper at the same threshold. `None` for that loop itself.
    pub fn with_rsd_draft(here: &'a MethodOutcomes, all: &'a [MethodOutcomes]) -> Option<Self> {
        let (_, threshold) = here.name.strip_prefix("rsd")?.split_once('@')?;
        Self::with(here, all, &format!("rsd-draft@{threshold}"))
    }

    fn with(here: &'a MethodOutcomes, all: &'a [MethodOutcomes], name: &str) -> Option<Self> {
        let other = all.iter().find(|other| other.name == name && other.name != here.name)?;
        let places = here.common(other);
        let resamples = BootstrapResamples::new(places.len());
        Some(Self { here, other, places, resamples })
    }

    /// A value of every question, here and of the other method. `None` if it is unknown for any.
    fn values(&self, value: impl Fn(&QuestionOutcome) -> Option<f64>) -> Option<[Vec<f64>; 2]> {
        Some([self.here.known(&self.places, &value)?, self.other.known(&self.places, &value)?])
    }

    /// The sum of a value over the other method's sum.
    pub fn ratio(&self, value: impl Fn(&QuestionOutcome) -> Option<f64>) -> Option<Estimate> {
        let [here, other] = self.values(value)?;
        self.resamples.ratio(&here, &other)
    }

    /// A value over the other method's, question by question. Where the other method's is 0 there is no ratio.
    pub fn question_ratios(&self, value: impl Fn(&QuestionOutcome) -> Option<f64>) -> Option<MedianRange> {
        let [here, other] = self.values(value)?;
        let ratios = here.iter().zip(&other).map(|(here, other)| here / other);
        MedianRange::from_values(ratios.filter(|ratio| ratio.is_finite()))
    }

    /// All that does not depend on the clock. `None` without a question.
    pub fn comparison(&self) -> Option<MethodComparison> {
        let [here, other] = self.values(|outcome| Some(outcome.right))?;
        let only = |one: &[f64], two: &[f64]| one.iter().zip(two).filter(|(one, two)| one > two).count();
        // The mean of several samples is neither right nor wrong.
        let single = [self.here, self.other]
            .into_iter()
            .all(|arm| self.places.iter().all(|place| arm.outcomes[place].answers <= 1));
        let split = single.then(|| (only(&here, &other), only(&other, &here)));
        Some(MethodComparison {
            questions: self.places.len(),
            difference: self.resamples.difference(&here, &other)?,
            only_here: split.map(|(here, _)| here),
            only_other: split.map(|(_, other)| other),
            p: split.map(|(here, other)| mcnemar(here, other)),
            answer_tokens: self.ratio(|outcome| Some(outcome.length)),
            target_tokens: self.ratio(|outcome| Some(outcome.tokens[2])),
            flops: FlopCounts::of(|way| self.ratio(|outcome| Some(outcome.flops?[way]))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answers, compared_loops, report};
    use crate::run_log::Answer;

    #[test]
    fn every_way_after_a_rejection_is_compared_with_the_loop_of_the_paper_at_its_threshold() {
        // Only questions that both answered count.
        let log: Vec<Answer> = compared_loops()
            .into_iter()
            .filter(|answer| answer.method != "rsd-auto@0.5" || answer.question != "q4")
            .collect();
        let report = report(&log);
        let compared = report.methods.iter().filter(|method| method.against_rsd_draft.is_some());
        let compared: Vec<&str> = compared.map(|method| method.name.as_str()).collect();
        assert_eq!(compared, ["rsd@0.3", "rsd@0.5", "rsd-auto@0.5"]);
        let of_method =
            |method: &'static str| log.iter().filter(move |a| a.method == method && a.question != "q4").cloned();
        let right = |answer: &Answer| answer.finished && answer.text == format!("\\boxed{{{}}}", &answer.question[1..]);
        let pairs: Vec<(Answer, Answer)> = of_method("rsd-auto@0.5").zip(of_method("rsd-draft@0.5")).collect();
        let only_auto = pairs.iter().filter(|(auto, draft)| right(auto) && !right(draft)).count();
        let only_draft = pairs.iter().filter(|(auto, draft)| !right(auto) && right(draft)).count();
        let sum = |value: fn(&Answer) -> f64| {
            let [auto, draft] =
                pairs.iter().fold([0.0; 2], |sum, (auto, draft)| [sum[0] + value(auto), sum[1] + value(draft)]);
            auto / draft
        };
        let auto = report.method("rsd-auto@0.5").unwrap();
        let against = auto.against_rsd_draft.as_ref().unwrap();
        assert_eq!((against.questions, against.only_here, against.only_other), (99, Some(only_auto), Some(only_draft)));
        assert!((against.difference.value - (only_auto as f64 - only_draft as f64) / 99.0).abs() < 1e-9);
        let seconds = auto.timing.unwrap().against_rsd_draft.unwrap().value;
        assert!((seconds - sum(|answer| answer.seconds.unwrap())).abs() < 1e-9);
        let generated = against.flops.unwrap().generated.value;
        assert!((generated - sum(|answer| answer.flops.unwrap().generated)).abs() < 1e-9);
    }

    #[test]
    fn times_are_compared_question_by_question_and_answers_without_the_target_counted() {
        let log = answers();
        let report = report(&log);
        let of_method = |method: &'static str| log.iter().filter(move |answer| answer.method == method);
        let mut ratios: Vec<f64> = of_method("rsd@0.5")
            .zip(of_method("target"))
            .map(|(rsd, target)| rsd.seconds.unwrap() / target.seconds.unwrap())
            .collect();
        ratios.sort_by(f64::total_cmp);
        let rsd = report.method("rsd@0.5").unwrap();
        let found = rsd.timing.unwrap().question_against_target.unwrap();
        let expected = [f64::midpoint(ratios[49], ratios[50]), ratios[0], ratios[99]];
        for (found, expected) in [found.median, found.low, found.high].into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        let without = of_method("rsd@0.5").filter(|answer| answer.target.generated == 0).count();
        assert!(0 < without && without < 100, "{without}");
        assert_eq!(rsd.without_target, Some(without));
        // All samples count.
        let counts = ["draft-sampled", "target"].map(|name| report.method(name).unwrap().without_target);
        assert_eq!(counts, [Some(400), Some(0)]);
    }
}
