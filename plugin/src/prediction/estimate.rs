//! What RSD would bring on a machine that is not there: the same formula, with unit costs from the models' sizes.
//!
//! Writing a token reads every weight once, so it takes the weights' bytes over the memory's bandwidth; reading a token
//! takes 2 N operations over the processor's rate (the roofline model: Williams, Waterman and Patterson, 2009). Neither
//! peak is reached: a machine's efficiencies say how much of it is counted on.

use rsd_protocol::preview::UnitCosts;

use super::{
    Sizes,
    record::Step,
    work::{Prices, Work},
};

/// A processor with its memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// Bytes a second that the memory gives.
    pub bandwidth: f64,
    /// Operations a second on matrices in half precision, dense.
    pub operations: f64,
    /// Share of the bandwidth that decoding reaches.
    pub decode_efficiency: f64,
    /// Share of the operations that reading reaches.
    pub prefill_efficiency: f64,
}

/// Two models and a reward on a task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Parameters of the models; a reward that is read in the draft has none.
    pub sizes: Sizes,
    /// Bytes of a weight.
    pub bytes: f64,
    /// Probability that a drafted step is kept.
    pub acceptance: f64,
    /// Tokens of a step.
    pub step_tokens: usize,
    /// Steps of an answer.
    pub steps: usize,
}

/// What is to be expected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Seconds of the target alone over seconds of RSD.
    pub speed_up: f64,
    /// FLOPs of RSD over those of the target alone, every token that is read counted.
    pub flops: f64,
}

impl Machine {
    /// Seconds per token, and per verdict on a step of so many tokens.
    #[must_use]
    pub fn costs(&self, sizes: Sizes, bytes: f64, step_tokens: usize) -> UnitCosts {
        let write = |n: u64| n as f64 * bytes / (self.bandwidth * self.decode_efficiency);
        let read = |n: u64| 2.0 * n as f64 / (self.operations * self.prefill_efficiency);
        // A short prompt is bound by the weights too: no step is read faster than one token is written.
        let verdict = (read(sizes.reward) * step_tokens as f64).max(write(sizes.reward));
        UnitCosts {
            draft_decode: Some(write(sizes.draft)),
            draft_prefill: Some(read(sizes.draft)),
            target_decode: Some(write(sizes.target)),
            target_prefill: Some(read(sizes.target)),
            reward_step: Some(verdict),
        }
    }
}

impl Plan {
    /// What RSD brings at these seconds per token.
    #[must_use]
    pub fn estimate(&self, costs: &UnitCosts) -> Option<Estimate> {
        self.at(self.acceptance, costs)
    }

    /// The lowest acceptance from which on RSD is faster than the target alone; none where it never is.
    #[must_use]
    pub fn break_even(&self, costs: &UnitCosts) -> Option<f64> {
        let pays = |acceptance| self.at(acceptance, costs).is_some_and(|found| found.speed_up >= 1.0);
        if !pays(1.0) {
            return None;
        }
        let (mut low, mut high) = (0.0, 1.0);
        // Speed-up rises with acceptance; forty halvings are more than a number on a screen can show.
        for _ in 0..40 {
            let middle = f64::midpoint(low, high);
            if pays(middle) { high = middle } else { low = middle }
        }
        Some(high)
    }

    fn at(&self, acceptance: f64, costs: &UnitCosts) -> Option<Estimate> {
        let step = Step { draft_tokens: self.step_tokens, target_tokens: None, ..Step::default() };
        let (steps, keeps) = (vec![step; self.steps], vec![acceptance; self.steps]);
        let work = Work::rsd(&steps, &keeps, 1.0);
        let seconds = Prices::seconds(costs, &work)?;
        let flops = Prices::flops(self.sizes, Some(self.step_tokens as f64))?;
        let speed_up = 1.0 / work.relative_cost(&seconds);
        Some(Estimate { speed_up, flops: work.relative_cost(&flops) }).filter(|found| found.speed_up.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MACHINE: Machine =
        Machine { bandwidth: 1e12, operations: 1e14, decode_efficiency: 0.5, prefill_efficiency: 0.5 };

    fn plan(draft: u64, target: u64, acceptance: f64) -> Plan {
        let sizes = Sizes { draft, reward: 0, target };
        Plan { sizes, bytes: 2.0, acceptance, step_tokens: 40, steps: 10 }
    }

    fn estimate(plan: &Plan) -> Estimate {
        plan.estimate(&MACHINE.costs(plan.sizes, plan.bytes, plan.step_tokens)).unwrap()
    }

    #[test]
    fn the_ends_are_what_the_models_cost() {
        // All kept: the draft's decoding against the target's.
        let all = estimate(&plan(1_000_000_000, 20_000_000_000, 1.0));
        assert!((all.speed_up - 20.0).abs() < 1e-9 && (all.flops - 0.05).abs() < 1e-9);
        // None kept: the target writes everything, and every draft comes on top, written and then read anew.
        let none = estimate(&plan(1_000_000_000, 20_000_000_000, 0.0));
        let (draft, read) = (2e9 / 5e11, 2e9 / 5e13);
        let target = 40e9 / 5e11;
        assert!((1.0 / none.speed_up - (target + draft + read) / target).abs() < 1e-9);
    }

    #[test]
    fn a_separate_reward_model_costs_at_least_its_weights() {
        let plan = Plan {
            sizes: Sizes { draft: 1_000_000_000, reward: 7_000_000_000, target: 70_000_000_000 },
            ..plan(1, 1, 0.9)
        };
        let costs = MACHINE.costs(plan.sizes, plan.bytes, plan.step_tokens);
        assert!((costs.reward_step.unwrap() - 14e9 / 5e11).abs() < 1e-12);
        let without = Plan { sizes: Sizes { reward: 0, ..plan.sizes }, ..plan };
        assert!(estimate(&plan).speed_up < estimate(&without).speed_up);
    }

    proptest! {
        #[test]
        fn more_acceptance_is_never_slower_where_the_draft_is_smaller(
            draft in 1u64..50, more in 1u64..50, low in 0.0f64..1.0, high in 0.0f64..1.0,
        ) {
            let (low, high) = if low < high { (low, high) } else { (high, low) };
            let of = |acceptance| estimate(&plan(draft * 100_000_000, (draft + more) * 100_000_000, acceptance)).speed_up;
            prop_assert!(of(low) <= of(high) + 1e-9);
        }

        #[test]
        fn at_break_even_rsd_is_as_fast_as_the_target(draft in 1u64..50, more in 0u64..50) {
            let plan = plan(draft * 100_000_000, (draft + more) * 100_000_000, 0.5);
            let costs = MACHINE.costs(plan.sizes, plan.bytes, plan.step_tokens);
            match plan.break_even(&costs) {
                Some(acceptance) => {
                    let there = Plan { acceptance, ..plan }.estimate(&costs).unwrap().speed_up;
                    prop_assert!((there - 1.0).abs() < 1e-6 || acceptance < 1e-6);
                }
                None => {
                    let all = Plan { acceptance: 1.0, ..plan }.estimate(&costs).unwrap();
                    prop_assert!(all.speed_up < 1.0);
                }
            }
        }
    }
}
