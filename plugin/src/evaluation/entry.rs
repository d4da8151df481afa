//! From a loop's account to a line of the log.

use rsd_evaluation::{
    question::Question,
    record::{Answer, Flops, Source, Step, Work},
};

use crate::{
    flops,
    pipeline::trace::{self, ModelTotals, Totals, Trace},
};

/// What an answer was, apart from its account.
pub(super) struct Said<'a> {
    pub(super) question: &'a Question,
    pub(super) method: &'a str,
    pub(super) sample: usize,
    pub(super) text: String,
    pub(super) finished: bool,
    pub(super) prompt_tokens: usize,
    pub(super) tokens: usize,
}

impl Said<'_> {
    /// An answer of the loop. `measured`: its time is its own.
    pub(super) fn traced(self, trace: &Trace, measured: bool) -> Answer {
        let steps = trace.steps.iter().map(step).collect();
        let flops = trace.totals.flops;
        self.counted(steps, &trace.totals, flops, measured.then_some(trace.totals.seconds))
    }

    /// An answer with its steps and work as counted elsewhere.
    pub(super) fn counted(
        self,
        steps: Vec<Step>,
        totals: &Totals,
        flops: Option<flops::Flops>,
        seconds: Option<f64>,
    ) -> Answer {
        Answer {
            question: self.question.id.clone(),
            method: self.method.to_owned(),
            sample: self.sample,
            text: self.text,
            finished: self.finished,
            prompt_tokens: self.prompt_tokens,
            tokens: self.tokens,
            steps,
            draft: work(&totals.draft),
            reward: work(&totals.reward),
            target: work(&totals.target),
            flops: flops.map(|of| Flops { generated: of.generated, with_prm: of.with_prm, total: of.total }),
            seconds,
        }
    }
}

fn step(step: &trace::StepTrace) -> Step {
    Step {
        source: match step.source {
            trace::Source::Draft => Source::Draft,
            trace::Source::Target => Source::Target,
        },
        tokens: step.tokens,
        reward: step.reward,
        rejected: step.rejected.as_ref().map(|rejected| rejected.tokens),
        fallback: step.fallback.and_then(|why| serde_json::to_value(why).ok()?.as_str().map(str::to_owned)),
    }
}

fn work(totals: &ModelTotals) -> Work {
    Work { generated: totals.generated, prefilled: totals.prefilled, seconds: totals.seconds }
}
