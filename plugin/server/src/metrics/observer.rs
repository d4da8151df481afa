//! Counts the events of the RSD loop.

use std::sync::atomic::Ordering;

use rsd_core::pipeline::{
    observe::{AnswerEnd, ModelRole, PipelineEvent, PipelineObserver},
    roles::RunReport,
    trace::{FallbackReason, StepSource, StepTrace},
};

use super::{
    Metrics,
    target_only::{FlopsComparison, SecondsComparison},
};

/// Index of the phase `prefill` in the collectors of a role.
const PREFILL: usize = 0;

impl PipelineObserver for Metrics {
    fn observe(&self, _: u64, event: &PipelineEvent<'_>) {
        match event {
            PipelineEvent::StepDecided(step) => {
                self.decisions.record(step.decision, step.tokens);
                if let Some(reward) = step.reward {
                    self.reward.observe(reward);
                }
                self.fallback_active.set(f64::from(u8::from(step.reward.is_none())));
            }
            // Their tokens are counted by other events.
            PipelineEvent::AnswerStarted { .. }
            | PipelineEvent::StepAppended(_)
            | PipelineEvent::StepReplaced { .. }
            | PipelineEvent::StepAlone { .. } => {}
            PipelineEvent::HandedOver(reason) => self.handovers[*reason as usize].inc(),
            PipelineEvent::Explored => self.explored.inc(),
            PipelineEvent::TokensEmitted { source, tokens } => self.emitted[*source as usize].inc_by(*tokens as u64),
            PipelineEvent::RunFinished { source, report } => self.record_run(*source, report),
            PipelineEvent::StepScored(score) => {
                self.record_prompt(ModelRole::Reward, score.prompt, score.prefilled);
                self.model_seconds[ModelRole::Reward as usize][PREFILL].inc_by(score.seconds.max(0.0));
            }
            PipelineEvent::DraftDiscarded { tokens } => self.discarded.inc_by(*tokens as u64),
            PipelineEvent::FellBack(fallback) => {
                self.fallbacks[*fallback as usize].inc();
                // A full context is normal; a failed model is a fault.
                if matches!(fallback, FallbackReason::DraftFailed | FallbackReason::TargetFailed) {
                    self.fallback_active.set(1.0);
                }
            }
            PipelineEvent::FalseStatement => self.false_steps.inc(),
            PipelineEvent::ModelFailed(role) => {
                self.failures[*role as usize].inc();
                self.failed[*role as usize].store(true, Ordering::Relaxed);
            }
            PipelineEvent::AnswerEnded(ended) => self.record_answer(ended),
        }
    }
}

impl Metrics {
    fn record_run(&self, source: StepSource, report: &RunReport) {
        self.record_prompt(source.into(), report.prompt, report.prefilled);
        self.prefilled[source as usize].inc_by(report.verified as u64);
        self.generated[source as usize].inc_by(report.generated as u64);
        if source == StepSource::Target {
            self.target_tokens.inc_by(report.generated as u64);
        }
        if let Some(money) = &self.money {
            money.record_run(source, report);
        }
        let seconds = report.seconds.max(0.0);
        let prefill_seconds = report.prefill_seconds.clamp(0.0, seconds);
        let [prefill, decode] = &self.model_seconds[ModelRole::from(source) as usize];
        prefill.inc_by(prefill_seconds);
        decode.inc_by(seconds - prefill_seconds);
    }

    fn record_prompt(&self, role: ModelRole, prompt: usize, prefilled: usize) {
        self.prefilled[role as usize].inc_by(prefilled as u64);
        self.cached[role as usize].inc_by(prompt.saturating_sub(prefilled) as u64);
        self.failed[role as usize].store(false, Ordering::Relaxed);
    }

    /// Compares a complete answer with the target alone. The trace of a cancelled answer lacks its last run, so such an
    /// answer is not compared. Nor is one that the draft finished because the target failed: there is no such answer of
    /// the target alone.
    fn record_answer(&self, ended: &AnswerEnd<'_>) {
        let speculation = ended.trace.totals.speculation;
        let rejected = speculation.proposed - speculation.accepted;
        for (counter, tokens) in self.proposed.iter().zip([speculation.accepted, rejected]) {
            counter.inc_by(tokens as u64);
        }
        let target_failed = |step: &StepTrace| step.fallback == Some(FallbackReason::TargetFailed);
        if !ended.steps_scored || ended.error.is_some() || ended.trace.steps.iter().any(target_failed) {
            return;
        }
        if let Some(parameters) = self.parameters {
            let work = FlopsComparison::new(ended, parameters);
            for (counters, flops) in self.flops.iter().zip(&work.by_role) {
                for (counter, flops) in counters.iter().zip([flops.generated, flops.with_prm, flops.total]) {
                    counter.inc_by(flops);
                }
            }
            let alone = &work.target_only;
            for (counter, flops) in self.target_only_flops.iter().zip([alone.generated, alone.with_prm, alone.total]) {
                counter.inc_by(flops);
            }
        }
        if let Some(money) = &self.money {
            money.record_answer(ended);
        }
        if let Some(seconds) = SecondsComparison::new(ended, (self.sources.costs)()) {
            self.rsd_seconds.inc_by(seconds.rsd);
            self.target_only_seconds.inc_by(seconds.target_only);
        }
    }
}
