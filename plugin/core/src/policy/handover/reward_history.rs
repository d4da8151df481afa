//! The rewards of draft steps by position and by what came before, from decayed counts.
//!
//! Rewards are counted, not decisions: so one count serves every threshold, preset and request, and an acceptance rate
//! follows a changed threshold at once.

use super::expected_cost::CLASSES;

/// The class once a step of the answer was rejected: a draft that went astray is often rejected again, whatever its newest
/// reward.
pub(super) const AFTER_REJECTION: usize = CLASSES - 1;

/// Ranges of the newest reward before that.
const RANGES: usize = CLASSES - 2;

/// Ranges of rewards; the last stands for a step without a score.
const BINS: usize = 21;
const UNSCORED: usize = BINS - 1;

/// The first position of each range of positions.
const POSITIONS: [usize; 6] = [0, 1, 2, 4, 7, 12];

/// Number of steps after which an old one counts for half. Answers of code have twenty steps, so this is that of thirty
/// answers.
const HALF_LIFE: f64 = 600.0;

/// The weight, in steps, of what is known of all steps against those counted at one position after one class.
const SHRINKAGE: f64 = 6.0;

/// The weight, in steps, of the prior: a reward anywhere between 0 and 1.
const PRIOR_STEPS: f64 = 2.0;

type Counts = [f64; BINS];

/// Probabilities of acceptance and rejection with the class of the reward, by the class before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ClassTransitions {
    pub accepted: [[f64; CLASSES]; CLASSES],
    pub rejected: [[f64; CLASSES]; CLASSES],
}

impl ClassTransitions {
    /// From the probabilities of the rewards after each class, and the probability that each of them is accepted.
    fn new(likely: &[Counts; CLASSES], accepted: &Counts) -> Self {
        let mut this = Self { accepted: [[0.0; CLASSES]; CLASSES], rejected: [[0.0; CLASSES]; CLASSES] };
        for (before, likely) in likely.iter().enumerate() {
            for (bin, probability) in likely.iter().enumerate() {
                let after = if before == AFTER_REJECTION { before } else { class_of_bin(bin) };
                this.accepted[before][after] += probability * accepted[bin];
                this.rejected[before][AFTER_REJECTION] += probability * (1.0 - accepted[bin]);
            }
        }
        this
    }
}

#[derive(Debug, Clone)]
pub(super) struct RewardHistory {
    /// By range of positions, and by the class before.
    counts: [[Counts; CLASSES]; POSITIONS.len()],
    /// The newest reward in each range: exact where rewards take few values, such as the grades of a judge.
    newest: [f64; BINS - 1],
    /// Answers that the draft began, decayed as the steps are.
    answers: f64,
}

/// The class of a reward while no step was rejected; the class 0 is that of no reward yet.
pub(super) fn class_of(reward: Option<f64>) -> usize {
    1 + range_of(reward.unwrap_or(0.0), RANGES)
}

/// The range of a reward, of this many of equal width.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to the number of ranges")]
fn range_of(reward: f64, ranges: usize) -> usize {
    ((reward.clamp(0.0, 1.0) * ranges as f64) as usize).min(ranges - 1)
}

fn bin_of(reward: Option<f64>) -> usize {
    reward.map_or(UNSCORED, |reward| range_of(reward, UNSCORED))
}

/// The class of the rewards in a bin.
fn class_of_bin(bin: usize) -> usize {
    if bin == UNSCORED { class_of(None) } else { 1 + bin * RANGES / UNSCORED }
}

fn range_of_position(position: usize) -> usize {
    POSITIONS.iter().rposition(|first| *first <= position).unwrap_or(0)
}

impl RewardHistory {
    pub fn new() -> Self {
        // The best reward is 1: before anything was seen, a threshold near 1 must not look as if nothing could reach it.
        let first = |bin: usize| if bin + 1 == UNSCORED { 1.0 } else { (bin as f64 + 0.5) / UNSCORED as f64 };
        Self { counts: [[[0.0; BINS]; CLASSES]; POSITIONS.len()], newest: std::array::from_fn(first), answers: 0.0 }
    }

    /// Records the reward of the draft step at a position, after a reward of the class `before`.
    pub fn record(&mut self, position: usize, before: usize, reward: Option<f64>) {
        let decay = (-1.0 / HALF_LIFE).exp2();
        self.counts.as_flattened_mut().as_flattened_mut().iter_mut().for_each(|count| *count *= decay);
        let bin = bin_of(reward);
        self.counts[range_of_position(position)][before][bin] += 1.0;
        if let Some((newest, reward)) = self.newest.get_mut(bin).zip(reward) {
            *newest = reward;
        }
        self.answers *= decay;
        if position == 0 {
            self.answers += 1.0;
        }
    }

    /// Number of answers that the draft began, of which old ones count less.
    pub fn answers(&self) -> f64 {
        self.answers
    }

    /// The transitions at each of the positions from `first` on, if a reward is accepted with the probability that
    /// `acceptance` gives for it and for the step, counted from 0 at `first`.
    pub fn transitions(
        &self,
        first: usize,
        positions: usize,
        acceptance: impl Fn(usize, Option<f64>) -> f64,
    ) -> Vec<ClassTransitions> {
        let everywhere = self.everywhere();
        let after: [Counts; CLASSES] = std::array::from_fn(|class| {
            let counts = sum(self.counts.iter().map(|position| &position[class]));
            shrunk(&counts, &everywhere, SHRINKAGE)
        });
        let likely_in = |range: usize| -> [Counts; CLASSES] {
            std::array::from_fn(|before| shrunk(&self.counts[range][before], &after[before], SHRINKAGE))
        };
        let (low, high) = (range_of_position(first), range_of_position(first + positions));
        let likely: Vec<[Counts; CLASSES]> = (low..=high).map(likely_in).collect();
        let of_step = |step: usize| {
            let accepted: Counts = std::array::from_fn(|bin| acceptance(step, self.newest.get(bin).copied()));
            ClassTransitions::new(&likely[range_of_position(first + step) - low], &accepted)
        };
        (0..positions).map(of_step).collect()
    }

    /// The probability of each bin, wherever the step is.
    fn everywhere(&self) -> Counts {
        let mut prior = [1.0 / UNSCORED as f64; BINS];
        prior[UNSCORED] = 0.0;
        shrunk(&sum(self.counts.as_flattened().iter()), &prior, PRIOR_STEPS)
    }
}

fn sum<'a>(all: impl Iterator<Item = &'a Counts>) -> Counts {
    all.fold([0.0; BINS], |sum, counts| std::array::from_fn(|bin| sum[bin] + counts[bin]))
}

/// Probabilities from counts and from what is expected without them, which weighs `weight` counts.
fn shrunk(counts: &Counts, expected: &Counts, weight: f64) -> Counts {
    let total = counts.iter().sum::<f64>() + weight;
    std::array::from_fn(|bin| (counts[bin] + weight * expected[bin]) / total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at_threshold(delta: f64) -> impl Fn(usize, Option<f64>) -> f64 {
        move |_, reward| f64::from(u8::from(reward.is_some_and(|reward| reward >= delta)))
    }

    fn acceptance(transitions: &ClassTransitions, before: usize) -> f64 {
        transitions.accepted[before].iter().sum()
    }

    proptest! {
        #[test]
        fn transitions_are_probabilities(
            steps in proptest::collection::vec((0usize..20, 0usize..CLASSES, proptest::option::of(0.0f64..=1.0)), 0..300),
            first in 0usize..40, delta in -0.5f64..1.5,
        ) {
            let mut history = RewardHistory::new();
            for (position, before, reward) in steps {
                history.record(position, before, reward);
            }
            for step in history.transitions(first, 8, at_threshold(delta)) {
                for before in 0..CLASSES {
                    let total: f64 = step.accepted[before].iter().chain(&step.rejected[before]).sum();
                    prop_assert!((total - 1.0).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn acceptance_follows_the_position_the_reward_before_and_the_threshold() {
        let mut history = RewardHistory::new();
        for _ in 0..100 {
            history.record(0, 0, Some(0.9));
            history.record(1, class_of(Some(0.9)), Some(0.8));
            history.record(2, class_of(Some(0.8)), Some(0.3));
            history.record(3, class_of(Some(0.3)), Some(0.1));
        }
        let at = |delta| history.transitions(0, 4, at_threshold(delta));
        let half = at(0.5);
        assert!(acceptance(&half[0], 0) > 0.9 && acceptance(&half[1], class_of(Some(0.9))) > 0.9);
        assert!(acceptance(&half[2], class_of(Some(0.8))) < 0.1);
        assert!(acceptance(&half[3], class_of(Some(0.3))) < 0.1);
        assert!(acceptance(&at(0.2)[2], class_of(Some(0.8))) > 0.9);
    }

    #[test]
    fn each_step_has_an_acceptance_of_its_own() {
        let mut history = RewardHistory::new();
        for _ in 0..100 {
            history.record(0, 0, Some(0.4));
            history.record(1, class_of(Some(0.4)), Some(0.4));
        }
        let rising = |step: usize, reward: Option<f64>| at_threshold(0.25 * (step + 1) as f64)(step, reward);
        let steps = history.transitions(0, 2, rising);
        assert!(acceptance(&steps[0], 0) > 0.9 && acceptance(&steps[1], class_of(Some(0.4))) < 0.1);
    }

    #[test]
    fn a_grade_equal_to_the_threshold_is_accepted() {
        let mut history = RewardHistory::new();
        for _ in 0..50 {
            history.record(0, 0, Some(0.7));
        }
        assert!(acceptance(&history.transitions(0, 1, at_threshold(0.7))[0], 0) > 0.9);
        assert!(acceptance(&history.transitions(0, 1, at_threshold(0.71))[0], 0) < 0.1);
    }

    #[test]
    fn steps_without_a_score_are_no_reason_to_draft() {
        let mut history = RewardHistory::new();
        for position in 0..50 {
            history.record(position % 5, class_of(None), None);
        }
        assert!(acceptance(&history.transitions(2, 1, at_threshold(0.1))[0], class_of(None)) < 0.1);
    }
}
