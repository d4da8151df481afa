//! Compares the cost of an answer with the estimated cost of the target alone.

use rsd_core::pipeline::{
    flops::{Flops, ModelParameters},
    observe::AnswerEnd,
};
use rsd_protocol::preview::UnitCosts;

/// Seconds that all models together worked on an answer, and the estimate for the target alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SecondsComparison {
    pub rsd: f64,
    pub target_only: f64,
}

impl SecondsComparison {
    /// `None` until the target's speed is known: one sum without the other would falsify their ratio.
    pub fn new(ended: &AnswerEnd<'_>, costs: UnitCosts) -> Option<Self> {
        let totals = &ended.trace.totals;
        let prefill = ended.prompt_prefilled as f64 * costs.target_prefill?;
        let decode = ended.completion_tokens as f64 * costs.target_decode?;
        Some(Self {
            rsd: totals.draft.seconds + totals.reward.seconds + totals.target.seconds,
            target_only: prefill + decode,
        })
    }
}

/// Estimated FLOPs of draft, reward model and target, and of the target alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FlopsComparison {
    pub by_role: [Flops; 3],
    pub target_only: Flops,
}

impl FlopsComparison {
    pub fn new(ended: &AnswerEnd<'_>, parameters: ModelParameters) -> Self {
        Self {
            by_role: ended.trace.totals.flops_by_role(parameters),
            target_only: Flops::for_generator(ended.completion_tokens, ended.prompt_prefilled, parameters.target),
        }
    }
}

#[cfg(test)]
// The values are exact in a float.
#[allow(clippy::float_cmp)]
mod tests {
    use super::*;
    use rsd_core::pipeline::{
        Request,
        testing::World,
        trace::{AnswerTotals, AnswerTrace, ModelTotals},
    };

    fn trace() -> AnswerTrace {
        let model = |generated, prefilled, seconds| ModelTotals { generated, prefilled, seconds, ..Default::default() };
        let totals = AnswerTotals {
            draft: model(10, 5, 1.0),
            reward: model(0, 7, 0.5),
            target: model(3, 2, 2.0),
            ..AnswerTotals::default()
        };
        AnswerTrace { totals, ..AnswerTrace::default() }
    }

    fn ended<'a>(request: &'a Request, trace: &'a AnswerTrace) -> AnswerEnd<'a> {
        AnswerEnd {
            request,
            steps_scored: true,
            error: None,
            trace,
            prompt_tokens: 9,
            prompt_prefilled: 5,
            completion_tokens: 12,
        }
    }

    #[test]
    fn the_target_alone_prefills_the_prompt_that_no_cache_held_and_decodes_the_answer() {
        let (request, trace) = (World::new(0).request, trace());
        let costs = UnitCosts { target_prefill: Some(0.1), target_decode: Some(0.5), ..UnitCosts::default() };
        let seconds = SecondsComparison::new(&ended(&request, &trace), costs).unwrap();
        assert_eq!(seconds, SecondsComparison { rsd: 3.5, target_only: 6.5 });
        let flops =
            FlopsComparison::new(&ended(&request, &trace), ModelParameters { draft: 1, reward: 10, target: 100 });
        assert_eq!(flops.target_only, Flops { generated: 2400.0, with_prm: 2400.0, total: 3400.0 });
        let rsd = flops.by_role.map(|flops| flops.total);
        assert_eq!(rsd, [30.0, 140.0, 1000.0]);
    }

    #[test]
    fn there_is_no_comparison_before_both_of_the_targets_speeds_are_known() {
        let (request, trace) = (World::new(0).request, trace());
        let costs = UnitCosts { target_decode: Some(0.5), draft_decode: Some(0.1), ..UnitCosts::default() };
        assert_eq!(SecondsComparison::new(&ended(&request, &trace), costs), None);
    }
}
