//! What the loop tells a [`Recorder`].

use super::{Judged, Model, Ran, Recorder};
use crate::{
    control::now_ms,
    pipeline::{
        observe::{Event, Observer},
        trace::Source,
    },
    policy::Decision,
};

impl Observer for Recorder {
    fn observe(&self, answer: u64, event: &Event<'_>) {
        match event {
            Event::Judged(step) => self.judged(Judged {
                answer,
                reward: step.reward,
                draft_tokens: step.tokens,
                kept: step.decision == Decision::Accept,
                at_ms: now_ms(),
            }),
            Event::Replaced { tokens } => self.replaced(answer, *tokens),
            Event::Ran { source, report } => self.ran(Ran {
                model: match source {
                    Source::Draft => Model::Draft,
                    Source::Target => Model::Target,
                },
                generated: report.generated,
                prefilled: report.prefilled,
                prefill_seconds: report.prefill_seconds,
                seconds: report.seconds,
            }),
            Event::Scored(score) => self.scored(score.seconds, score.prefilled),
            Event::Emitted { .. } | Event::Wasted { .. } | Event::Fallback(_) | Event::Failed(_) | Event::Ended(_) => {}
        }
    }
}
