//! Turns the trace of an answer into a line of the log.

use crate::{
    question::Question,
    run_log::{Answer, AnswerFlops, ModelWork, RecordedStep},
};

use rsd_core::pipeline::{
    flops,
    trace::{self, AnswerTotals, AnswerTrace, ModelTotals},
};

/// An answer apart from its trace.
pub(super) struct AnswerBuilder<'a> {
    pub(super) question: &'a Question,
    pub(super) method: &'a str,
    pub(super) sample: usize,
    pub(super) text: String,
    pub(super) finished: bool,
    pub(super) prompt_tokens: usize,
    pub(super) tokens: usize,
}

impl AnswerBuilder<'_> {
    /// An answer of the pipeline. `measured`: whether all of its steps were computed for it, so that its time counts.
    pub(super) fn traced(self, trace: &AnswerTrace, measured: bool) -> Answer {
        let steps = trace.steps.iter().map(step).collect();
        let flops = trace.totals.flops;
        self.counted(steps, &trace.totals, flops, measured.then_some(trace.totals.seconds))
    }

    /// An answer with steps and work that were counted elsewhere.
    pub(super) fn counted(
        self,
        steps: Vec<RecordedStep>,
        totals: &AnswerTotals,
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
            flops: flops.map(|of| AnswerFlops { generated: of.generated, with_prm: of.with_prm, total: of.total }),
            seconds,
            cost: totals.cost,
        }
    }
}

fn step(step: &trace::StepTrace) -> RecordedStep {
    let rejected = step.rejected.as_ref();
    RecordedStep {
        reward: step.reward,
        rejected: rejected.map(|rejected| rejected.tokens),
        fallback: step.fallback.and_then(|why| serde_json::to_value(why).ok()?.as_str().map(str::to_owned)),
        text: Some(step.text.clone()),
        rejected_text: rejected.map(|rejected| rejected.text.clone()),
        false_statement: rejected.and_then(|rejected| rejected.false_statement.clone()),
        ..RecordedStep::of(step.source, step.tokens)
    }
}

fn work(totals: &ModelTotals) -> ModelWork {
    ModelWork { generated: totals.generated, prefilled: totals.prefilled, seconds: totals.seconds }
}
