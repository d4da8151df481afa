//! The offline estimate: the speedup of RSD on a machine that need not exist, by the formula of the predictions with
//! unit costs from the parameters of the models.
//!
//! Decoding a token loads every weight once, so it takes the bytes of the weights over the bandwidth of the memory.
//! Prefilling a token takes 2 N operations over the rate of the processor (the roofline model: Williams, Waterman and
//! Patterson, 2009). Neither peak is reached in practice: the efficiencies of a machine say which part of it is.

use rsd_protocol::{policy::AfterRejection, preview::UnitCosts};

use crate::pipeline::flops::ModelParameters;

use super::{course::CourseShares, record::RecordedStep, work::UnitPrices};

/// A processor with its memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MachineSpec {
    /// Bandwidth of the memory in bytes per second.
    pub bandwidth: f64,
    /// Dense matrix operations per second in half precision.
    pub operations: f64,
    /// Fraction of the bandwidth that decoding reaches.
    pub decode_efficiency: f64,
    /// Fraction of the operations that prefill reaches.
    pub prefill_efficiency: f64,
}

/// The models and the shape of their answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeploymentPlan {
    /// Parameters of the models; 0 for a resident reward.
    pub parameters: ModelParameters,
    /// Bytes per weight.
    pub bytes: f64,
    /// Probability that a draft step is accepted.
    pub acceptance: f64,
    /// Tokens per step.
    pub step_tokens: usize,
    /// Steps per answer.
    pub steps: usize,
}

/// The estimated effect of RSD.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpeedupEstimate {
    /// Seconds of the target alone over seconds of RSD.
    pub speedup: f64,
    /// FLOPs of RSD over those of the target alone, with every prefilled token.
    pub relative_flops: f64,
}

impl MachineSpec {
    /// Seconds per token, and per scored step of `step_tokens` tokens.
    #[must_use]
    pub fn unit_costs(&self, parameters: ModelParameters, bytes: f64, step_tokens: usize) -> UnitCosts {
        let decode = |n: u64| n as f64 * bytes / (self.bandwidth * self.decode_efficiency);
        let prefill = |n: u64| 2.0 * n as f64 / (self.operations * self.prefill_efficiency);
        // Loading the weights bounds a short prompt too: prefilling a step takes at least as long as decoding a token.
        let reward_step = (prefill(parameters.reward) * step_tokens as f64).max(decode(parameters.reward));
        UnitCosts {
            draft_decode: Some(decode(parameters.draft)),
            draft_prefill: Some(prefill(parameters.draft)),
            target_decode: Some(decode(parameters.target)),
            target_prefill: Some(prefill(parameters.target)),
            reward_step: Some(reward_step),
        }
    }
}

impl DeploymentPlan {
    /// The estimate at these seconds per token; `None` where one that the work needs is missing. `auto` takes the
    /// course that costs least, and explores nothing.
    #[must_use]
    pub fn estimate(&self, costs: &UnitCosts, after_rejection: AfterRejection) -> Option<SpeedupEstimate> {
        self.estimate_at(self.acceptance, costs, after_rejection)
    }

    /// The lowest acceptance rate at which RSD is as fast as the target alone if the draft goes on after a rejection;
    /// `None` if it never is.
    #[must_use]
    pub fn break_even(&self, costs: &UnitCosts) -> Option<f64> {
        let pays = |acceptance| {
            self.estimate_at(acceptance, costs, AfterRejection::Draft).is_some_and(|found| found.speedup >= 1.0)
        };
        if !pays(1.0) {
            return None;
        }
        let (mut low, mut high) = (0.0, 1.0);
        // The speedup rises with the acceptance rate; forty halvings are more precise than any printed number.
        for _ in 0..40 {
            let middle = f64::midpoint(low, high);
            if pays(middle) { high = middle } else { low = middle }
        }
        Some(high)
    }

    fn estimate_at(
        &self,
        acceptance: f64,
        costs: &UnitCosts,
        after_rejection: AfterRejection,
    ) -> Option<SpeedupEstimate> {
        let step = RecordedStep { draft_tokens: self.step_tokens, target_tokens: None, ..RecordedStep::default() };
        let (steps, probabilities) = (vec![step; self.steps], vec![acceptance; self.steps]);
        let shares = match after_rejection {
            AfterRejection::Draft => CourseShares::PAPER,
            AfterRejection::Target => CourseShares::UNTIL_REJECTION,
            AfterRejection::Auto => {
                CourseShares::cheapest(costs, 1.0, || std::iter::once((&steps[..], &probabilities[..])))
            }
        };
        let work = shares.work(&steps, &probabilities, 1.0);
        let seconds = UnitPrices::seconds(costs, &work)?;
        let flops = UnitPrices::flops(self.parameters, Some(self.step_tokens as f64))?;
        let speedup = 1.0 / work.relative_cost(&seconds);
        Some(SpeedupEstimate { speedup, relative_flops: work.relative_cost(&flops) })
            .filter(|found| found.speedup.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MACHINE: MachineSpec =
        MachineSpec { bandwidth: 1e12, operations: 1e14, decode_efficiency: 0.5, prefill_efficiency: 0.5 };

    fn plan(draft: u64, target: u64, acceptance: f64) -> DeploymentPlan {
        let parameters = ModelParameters { draft, reward: 0, target };
        DeploymentPlan { parameters, bytes: 2.0, acceptance, step_tokens: 40, steps: 10 }
    }

    fn estimate(plan: &DeploymentPlan) -> SpeedupEstimate {
        after(AfterRejection::Draft, plan)
    }

    fn after(way: AfterRejection, plan: &DeploymentPlan) -> SpeedupEstimate {
        plan.estimate(&MACHINE.unit_costs(plan.parameters, plan.bytes, plan.step_tokens), way).unwrap()
    }

    #[test]
    fn the_ends_are_what_the_models_cost() {
        // All accepted: the draft's decoding against the target's.
        let all = estimate(&plan(1_000_000_000, 20_000_000_000, 1.0));
        assert!((all.speedup - 20.0).abs() < 1e-9 && (all.relative_flops - 0.05).abs() < 1e-9);
        // None accepted: the target decodes everything; every step is drafted on top, and prefilled by the draft again.
        let none = estimate(&plan(1_000_000_000, 20_000_000_000, 0.0));
        let (draft, prefill) = (2e9 / 5e11, 2e9 / 5e13);
        let target = 40e9 / 5e11;
        assert!((1.0 / none.speedup - (target + draft + prefill) / target).abs() < 1e-9);
    }

    #[test]
    fn a_separate_reward_model_costs_at_least_its_weights() {
        let plan = DeploymentPlan {
            parameters: ModelParameters { draft: 1_000_000_000, reward: 7_000_000_000, target: 70_000_000_000 },
            ..plan(1, 1, 0.9)
        };
        let costs = MACHINE.unit_costs(plan.parameters, plan.bytes, plan.step_tokens);
        assert!((costs.reward_step.unwrap() - 14e9 / 5e11).abs() < 1e-12);
        let without = DeploymentPlan { parameters: ModelParameters { reward: 0, ..plan.parameters }, ..plan };
        assert!(estimate(&plan).speedup < estimate(&without).speedup);
    }

    proptest! {
        #[test]
        fn more_acceptance_is_never_slower_where_the_draft_is_smaller(
            draft in 1u64..50, more in 1u64..50, low in 0.0f64..1.0, high in 0.0f64..1.0,
        ) {
            let (low, high) = if low < high { (low, high) } else { (high, low) };
            let of = |acceptance| estimate(&plan(draft * 100_000_000, (draft + more) * 100_000_000, acceptance)).speedup;
            prop_assert!(of(low) <= of(high) + 1e-9);
        }

        #[test]
        fn auto_is_never_slower_than_the_target_or_another_way(
            draft in 1u64..80, target in 1u64..80, acceptance in 0.0f64..=1.0,
        ) {
            let plan = plan(draft * 100_000_000, target * 100_000_000, acceptance);
            let [draft, target, auto] = [AfterRejection::Draft, AfterRejection::Target, AfterRejection::Auto]
                .map(|way| after(way, &plan).speedup);
            prop_assert!((auto - draft.max(target).max(1.0)).abs() < 1e-12);
        }

        #[test]
        fn at_break_even_rsd_is_as_fast_as_the_target(draft in 1u64..50, more in 0u64..50) {
            let plan = plan(draft * 100_000_000, (draft + more) * 100_000_000, 0.5);
            let costs = MACHINE.unit_costs(plan.parameters, plan.bytes, plan.step_tokens);
            if let Some(acceptance) = plan.break_even(&costs) {
                let there = DeploymentPlan { acceptance, ..plan }.estimate(&costs, AfterRejection::Draft).unwrap().speedup;
                prop_assert!((there - 1.0).abs() < 1e-6 || acceptance < 1e-6);
            } else {
                let all = DeploymentPlan { acceptance: 1.0, ..plan }.estimate(&costs, AfterRejection::Draft).unwrap();
                prop_assert!(all.speedup < 1.0);
            }
        }
    }
}
