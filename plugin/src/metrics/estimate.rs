//! What an answer cost, and what the target alone would have cost.

use rsd_protocol::preview::UnitCosts;

use crate::{
    flops::{Flops, Parameters},
    pipeline::observe::Ended,
};

/// Seconds all models together worked on an answer, and those the target alone would have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seconds {
    pub rsd: f64,
    pub target_only: f64,
}

impl Seconds {
    /// Nothing before the target's speed is known: one without the other would make their ratio wrong.
    pub fn of(ended: &Ended<'_>, costs: UnitCosts) -> Option<Self> {
        let totals = &ended.trace.totals;
        let read = ended.prompt_prefilled as f64 * costs.target_prefill?;
        let written = ended.completion_tokens as f64 * costs.target_decode?;
        Some(Self {
            rsd: totals.draft.seconds + totals.reward.seconds + totals.target.seconds,
            target_only: read + written,
        })
    }
}

/// FLOPs of draft, reward model and target, and those of the target alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Work {
    pub by_role: [Flops; 3],
    pub target_only: Flops,
}

impl Work {
    pub fn of(ended: &Ended<'_>, parameters: Parameters) -> Self {
        Self {
            by_role: Flops::by_role(&ended.trace.totals, parameters),
            target_only: Flops::of_writer(ended.completion_tokens, ended.prompt_prefilled, parameters.target),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{
        Request,
        tests::scripted::World,
        trace::{ModelTotals, Totals, Trace},
    };

    fn trace() -> Trace {
        let model = |generated, prefilled, seconds| ModelTotals { generated, prefilled, seconds, ..Default::default() };
        let totals = Totals {
            draft: model(10, 5, 1.0),
            reward: model(0, 7, 0.5),
            target: model(3, 2, 2.0),
            ..Totals::default()
        };
        Trace { totals, ..Trace::default() }
    }

    fn ended<'a>(request: &'a Request, trace: &'a Trace) -> Ended<'a> {
        Ended {
            request,
            judging: true,
            error: None,
            trace,
            prompt_tokens: 9,
            prompt_prefilled: 5,
            completion_tokens: 12,
        }
    }

    #[test]
    fn the_target_alone_reads_the_prompt_that_no_cache_held_and_writes_the_answer() {
        let (request, trace) = (World::new(0).request, trace());
        let costs = UnitCosts { target_prefill: Some(0.1), target_decode: Some(0.5), ..UnitCosts::default() };
        let seconds = Seconds::of(&ended(&request, &trace), costs).unwrap();
        assert_eq!(seconds, Seconds { rsd: 3.5, target_only: 6.5 });
        let work = Work::of(&ended(&request, &trace), Parameters { draft: 1, reward: 10, target: 100 });
        assert_eq!(work.target_only, Flops { generated: 2400.0, with_prm: 2400.0, total: 3400.0 });
        let rsd = work.by_role.map(|flops| flops.total);
        assert_eq!(rsd, [30.0, 140.0, 1000.0]);
    }

    #[test]
    fn nothing_is_said_of_seconds_before_both_of_the_targets_speeds_are_known() {
        let (request, trace) = (World::new(0).request, trace());
        let costs = UnitCosts { target_decode: Some(0.5), draft_decode: Some(0.1), ..UnitCosts::default() };
        assert_eq!(Seconds::of(&ended(&request, &trace), costs), None);
    }
}
