//! From the loop's events to counters.

use super::{
    Metrics,
    estimate::{Seconds, Work},
};
use crate::pipeline::{
    observe::{Ended, Event, Observer, Role},
    roles::RunReport,
    trace::{Fallback, Source},
};

const PREFILL: usize = 0;

impl Observer for Metrics {
    fn observe(&self, _: u64, event: &Event<'_>) {
        match event {
            Event::Judged(judged) => {
                self.verdicts.judged(judged.decision, judged.tokens);
                if let Some(reward) = judged.reward {
                    self.reward.observe(reward);
                }
                self.fallback_active.set(f64::from(u8::from(judged.reward.is_none())));
            }
            // The target's tokens are counted with its runs.
            Event::Replaced { .. } => {}
            Event::Emitted { source, tokens } => self.emitted[*source as usize].inc_by(*tokens as u64),
            Event::Ran { source, report } => self.ran(*source, report),
            Event::Scored(score) => {
                self.worked(Role::Reward, score.prompt, score.prefilled);
                self.model_seconds[Role::Reward as usize][PREFILL].inc_by(score.seconds.max(0.0));
            }
            Event::Wasted { tokens } => self.wasted.inc_by(*tokens as u64),
            Event::Fallback(fallback) => {
                self.fallbacks[*fallback as usize].inc();
                // A full context is in the nature of things; a failed draft is not.
                if *fallback == Fallback::DraftFailed {
                    self.fallback_active.set(1.0);
                }
            }
            Event::Failed(role) => {
                self.failures[*role as usize].inc();
                self.up[*role as usize].set(0.0);
            }
            Event::Ended(ended) => self.ended(ended),
        }
    }
}

impl Metrics {
    fn ran(&self, source: Source, report: &RunReport) {
        self.worked(source.into(), report.prompt, report.prefilled);
        self.generated[source as usize].inc_by(report.generated as u64);
        if source == Source::Target {
            self.target_tokens.inc_by(report.generated as u64);
        }
        let seconds = report.seconds.max(0.0);
        let read = report.prefill_seconds.clamp(0.0, seconds);
        let [prefill, decode] = &self.model_seconds[Role::from(source) as usize];
        prefill.inc_by(read);
        decode.inc_by(seconds - read);
    }

    fn worked(&self, role: Role, prompt: usize, prefilled: usize) {
        self.prefilled[role as usize].inc_by(prefilled as u64);
        self.cached[role as usize].inc_by(prompt.saturating_sub(prefilled) as u64);
        self.up[role as usize].set(1.0);
    }

    /// A cancelled answer's last run is in no account, so only complete answers are compared with the target alone.
    fn ended(&self, ended: &Ended<'_>) {
        if !ended.judging || ended.error.is_some() {
            return;
        }
        if let Some(parameters) = self.parameters {
            let work = Work::of(ended, parameters);
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
        if let Some(seconds) = Seconds::of(ended, (self.sources.costs)()) {
            self.rsd_seconds.inc_by(seconds.rsd);
            self.target_only_seconds.inc_by(seconds.target_only);
        }
    }
}
