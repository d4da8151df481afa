//! Feeds the events of the loop to a [`StepRecorder`].

use rsd_protocol::clock::now_ms;

use super::StepRecorder;
use crate::pipeline::observe::{PipelineEvent, PipelineObserver};

impl PipelineObserver for StepRecorder {
    fn observe(&self, answer: u64, event: &PipelineEvent<'_>) {
        match event {
            PipelineEvent::StepDecided(decision) => self.record_decision(answer, decision, now_ms()),
            PipelineEvent::StepReplaced { tokens } => self.record_replacement(answer, *tokens),
            PipelineEvent::RunFinished { source, report } => self.record_run(*source, report),
            PipelineEvent::StepScored(score) => self.record_score(score),
            PipelineEvent::StepAlone { tokens } => self.record_alone(answer, *tokens, now_ms()),
            PipelineEvent::AnswerStarted { .. }
            | PipelineEvent::StepAppended(_)
            | PipelineEvent::TokensEmitted { .. }
            | PipelineEvent::DraftDiscarded { .. }
            | PipelineEvent::FellBack(_)
            | PipelineEvent::HandedOver(_)
            | PipelineEvent::Explored
            | PipelineEvent::FalseStatement
            | PipelineEvent::ModelFailed(_)
            | PipelineEvent::AnswerEnded(_) => {}
        }
    }
}
