//! What the loop has learned about answers and speeds: rewards, lengths of steps, where answers end, seconds per token.

use rsd_protocol::preview::UnitCosts;

use super::{
    expected_cost::{AnswerOutlook, HORIZON, ModelPrices, StepOutlook},
    reward_history::{ClassTransitions, RewardHistory},
};
use crate::costs::ObservedCosts;

/// Number of runs after which the speed in an old one counts for half. Short, because few runs show the draft's speed
/// while the target answers alone.
const COST_HALF_LIFE: f64 = 30.0;

/// Number of steps after which the length of an old one counts for half.
const LENGTH_HALF_LIFE: f64 = 200.0;

/// Positions whose chance of ending is learned apart; all later ones count as one.
const ENDING_POSITIONS: usize = 24;

/// By which fraction of the target's cost drafting may seem dearer before any answer was drafted. It falls with the root of
/// the number of drafted answers, as the error of a mean does. A few bad answers are no proof: with 0 `auto` would often
/// leave all that follow to the target, where nothing shows that drafting pays. Where each drafted answer costs a fifth
/// more than the target, two to three are enough to stop.
const OPTIMISM: f64 = 0.3;

/// The weight, in steps, of the steps of both models in the expected length of one model's.
const BOTH_MODELS: f64 = 20.0;

/// Positions whose length of a draft step is learned apart: the first steps decide how far a rising threshold
/// (`policy.ramp_tokens`) has risen, and may be much shorter than others, such as the fence before code.
const FIRST_POSITIONS: usize = 4;

/// The weight, in steps, of the steps at all positions in the expected length of one at a first position.
const OTHER_POSITIONS: f64 = 0.5;

/// Before anything was seen: tokens of a step, the chance that a step is the last, and how many steps each weighs.
const PRIOR_STEP_TOKENS: f64 = 32.0;
const PRIOR_ENDING: f64 = 0.1;
const PRIOR_STEPS: f64 = 4.0;

/// A mean of which the newest observations count most.
#[derive(Debug, Clone, Copy)]
struct DecayedMean {
    sum: f64,
    weight: f64,
}

impl DecayedMean {
    fn with_prior(value: f64, weight: f64) -> Self {
        Self { sum: value * weight, weight }
    }

    fn add(&mut self, value: f64) {
        self.decay();
        self.sum += value;
        self.weight += 1.0;
    }

    fn decay(&mut self) {
        let decay = (-1.0 / LENGTH_HALF_LIFE).exp2();
        self.sum *= decay;
        self.weight *= decay;
    }

    fn value(self) -> f64 {
        self.sum / self.weight
    }

    /// The mean of the observations and of `expected`, which weighs this many of them.
    fn shrunk(self, expected: f64, weight: f64) -> f64 {
        (self.sum + weight * expected) / (self.weight + weight)
    }
}

/// Everything learned, for the comparison of both ways to go on.
#[derive(Debug, Clone)]
pub(super) struct LearnedAnswers {
    pub costs: ObservedCosts,
    pub rewards: RewardHistory,
    draft_tokens: DecayedMean,
    target_tokens: DecayedMean,
    /// Tokens of a step of either model. While one model decodes little, its steps are expected to be as long as those of
    /// the other: otherwise the prior of one would be compared with what was seen of the other.
    step_tokens: DecayedMean,
    discarded_tokens: DecayedMean,
    /// Tokens of a draft step at each of the first positions.
    first_tokens: [DecayedMean; FIRST_POSITIONS],
    /// The chance that a step is the last, by position.
    ending: [DecayedMean; ENDING_POSITIONS],
    ending_anywhere: DecayedMean,
}

impl LearnedAnswers {
    pub fn new() -> Self {
        Self {
            costs: ObservedCosts::new(COST_HALF_LIFE),
            rewards: RewardHistory::new(),
            draft_tokens: DecayedMean::with_prior(0.0, 0.0),
            target_tokens: DecayedMean::with_prior(0.0, 0.0),
            step_tokens: DecayedMean::with_prior(PRIOR_STEP_TOKENS, PRIOR_STEPS),
            discarded_tokens: DecayedMean::with_prior(0.0, PRIOR_STEPS),
            first_tokens: [DecayedMean::with_prior(0.0, 0.0); FIRST_POSITIONS],
            ending: [DecayedMean::with_prior(0.0, 0.0); ENDING_POSITIONS],
            ending_anywhere: DecayedMean::with_prior(PRIOR_ENDING, PRIOR_STEPS),
        }
    }

    pub fn record_draft_step(&mut self, position: usize, before: usize, reward: Option<f64>, tokens: usize) {
        self.rewards.record(position, before, reward);
        self.draft_tokens.add(tokens as f64);
        self.target_tokens.decay();
        self.step_tokens.add(tokens as f64);
        if let Some(here) = self.first_tokens.get_mut(position) {
            here.add(tokens as f64);
        }
    }

    pub fn record_target_step(&mut self, tokens: usize) {
        self.target_tokens.add(tokens as f64);
        self.draft_tokens.decay();
        self.step_tokens.add(tokens as f64);
    }

    pub fn record_discarded(&mut self, tokens: usize) {
        self.discarded_tokens.add(tokens as f64);
    }

    /// Records whether the answer ended with the step at a position.
    pub fn record_ending(&mut self, position: usize, ended: bool) {
        let ended = f64::from(u8::from(ended));
        self.ending[position.min(ENDING_POSITIONS - 1)].add(ended);
        self.ending_anywhere.add(ended);
    }

    /// The observed prices; `None` until both models were seen to prefill and decode, and a step to be scored.
    pub fn prices(&self) -> Option<ModelPrices> {
        let UnitCosts { draft_decode, draft_prefill, target_decode, target_prefill, reward_step } =
            self.costs.unit_costs();
        Some(ModelPrices {
            draft_decode: draft_decode?,
            draft_prefill: draft_prefill?,
            target_decode: target_decode?,
            target_prefill: target_prefill?,
            reward_step: reward_step?,
        })
    }

    pub fn target_tokens(&self) -> f64 {
        self.target_tokens.shrunk(self.step_tokens.value(), BOTH_MODELS)
    }

    fn draft_tokens(&self) -> f64 {
        self.draft_tokens.shrunk(self.step_tokens.value(), BOTH_MODELS)
    }

    fn draft_tokens_at(&self, position: usize) -> f64 {
        let expected = self.draft_tokens();
        self.first_tokens.get(position).map_or(expected, |here| here.shrunk(expected, OTHER_POSITIONS))
    }

    /// By which fraction of the target's cost drafting may seem dearer while no step of an answer was rejected.
    pub fn optimism(&self) -> f64 {
        OPTIMISM / (1.0 + self.rewards.answers()).sqrt()
    }

    /// What is expected from the step at `position` on, if at most this many steps and tokens may follow.
    pub fn outlook(
        &self,
        position: usize,
        steps_left: usize,
        tokens_left: usize,
        acceptance: impl Fn(usize, Option<f64>) -> f64,
    ) -> AnswerOutlook {
        let (draft_tokens, target_tokens) = (self.draft_tokens(), self.target_tokens());
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of steps")]
        let by_tokens = (tokens_left as f64 / target_tokens.max(1.0)).ceil() as usize;
        let limit = steps_left.min(by_tokens);
        let length = limit.min(HORIZON);
        let lengths = (position..position + length).map(|position| self.draft_tokens_at(position));
        let tokens_with: Vec<f64> = lengths
            .scan(0.0, |tokens, length| {
                *tokens += length;
                Some(*tokens)
            })
            .collect();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of tokens")]
        let accepted = |step: usize, reward| acceptance(tokens_with[step].round() as usize, reward);
        let transitions = self.rewards.transitions(position, length, accepted);
        let step = |(i, ClassTransitions { accepted, rejected }): (usize, ClassTransitions)| StepOutlook {
            ending: if i + 1 == limit { 1.0 } else { self.ending_at(position + i) },
            accepted,
            rejected,
        };
        AnswerOutlook {
            draft_tokens,
            target_tokens,
            discarded_tokens: self.discarded_tokens.value(),
            steps: transitions.into_iter().enumerate().map(step).collect(),
            steps_beyond: (1.0 / self.ending_at(position + length)).min((limit - length) as f64),
        }
    }

    /// The chance that the step at this position is the last; above 0.
    fn ending_at(&self, position: usize) -> f64 {
        let here = self.ending[position.min(ENDING_POSITIONS - 1)];
        let expected = self.ending_anywhere.value();
        here.shrunk(expected, PRIOR_STEPS).max(1e-3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outlook(learned: &LearnedAnswers, position: usize, steps_left: usize, tokens_left: usize) -> AnswerOutlook {
        learned.outlook(position, steps_left, tokens_left, |_, reward| reward.map_or(0.0, |_| 1.0))
    }

    #[test]
    fn lengths_and_endings_are_learned() {
        let mut learned = LearnedAnswers::new();
        for _ in 0..100 {
            for position in 0..5 {
                learned.record_draft_step(position, 0, Some(0.5), 20);
                learned.record_target_step(30);
                learned.record_ending(position, position == 4);
            }
        }
        let whole = outlook(&learned, 0, 100, 10_000);
        assert!((whole.draft_tokens - 20.0).abs() < 1.0 && (whole.target_tokens - 30.0).abs() < 1.0);
        assert!((whole.remaining_tokens() / 150.0 - 1.0).abs() < 0.15, "{}", whole.remaining_tokens());
        let rest = outlook(&learned, 3, 100, 10_000);
        assert!((rest.remaining_tokens() / 60.0 - 1.0).abs() < 0.2, "{}", rest.remaining_tokens());
    }

    /// The target answers nearly everything alone, in lines of code, and the draft is seen once in a while.
    #[test]
    fn the_length_of_a_models_steps_is_known_before_it_decoded_many() {
        let mut learned = LearnedAnswers::new();
        learned.record_draft_step(0, 0, Some(0.1), 12);
        for position in 0..32 {
            learned.record_target_step(9);
            learned.record_ending(position % 16, position % 16 == 15);
        }
        let of = outlook(&learned, 0, 100, 10_000);
        assert!((of.draft_tokens / of.target_tokens - 1.0).abs() < 0.2, "{} {}", of.draft_tokens, of.target_tokens);
    }

    /// A fence of 3 tokens before lines of 20: a threshold that rises over the first tokens meets it at 3.
    #[test]
    fn the_length_of_a_first_step_is_its_own() {
        let mut learned = LearnedAnswers::new();
        for position in 0..10 {
            learned.record_draft_step(position, 0, Some(0.3), if position == 0 { 3 } else { 20 });
        }
        let lowest = std::cell::Cell::new(usize::MAX);
        let outlook = |position| {
            lowest.set(usize::MAX);
            learned.outlook(position, 100, 10_000, |tokens, _| {
                lowest.set(lowest.get().min(tokens));
                1.0
            });
            lowest.get()
        };
        assert!(outlook(0) < 10 && (18..=22).contains(&outlook(1)), "{} {}", outlook(0), outlook(1));
        assert!((15..30).contains(&outlook(20)), "{}", outlook(20));
    }

    #[test]
    fn limits_end_an_answer() {
        let learned = LearnedAnswers::new();
        assert!(outlook(&learned, 0, 0, 100).steps.is_empty());
        assert_eq!(outlook(&learned, 0, 0, 100).remaining_tokens(), 0.0);
        for limited in [outlook(&learned, 0, 3, 10_000), outlook(&learned, 0, 100, 70)] {
            assert_eq!((limited.steps.len(), limited.steps_beyond), (3, 0.0));
            assert_eq!(limited.steps[2].ending, 1.0);
        }
        assert_eq!(outlook(&learned, 0, 100, 100_000).steps.len(), HORIZON);
    }

    #[test]
    fn without_all_prices_there_is_none() {
        use crate::costs::RunCost;

        let mut learned = LearnedAnswers::new();
        let run = RunCost { generated: 11, prefilled: 10, prefill_seconds: 1.0, seconds: 3.0 };
        assert_eq!(learned.prices(), None);
        learned.costs.record_draft(&run);
        learned.costs.record_target(&run);
        assert_eq!(learned.prices(), None);
        learned.costs.record_score(0.5, 0);
        let prices = learned.prices().unwrap();
        assert_eq!((prices.draft_decode, prices.target_prefill, prices.reward_step), (0.2, 0.1, 0.5));
    }
}
