//! Measures what an answer cost, run by run.

use parking_lot::Mutex;
use rsd_core::pipeline::{
    AnswerOutcome,
    observe::{PipelineEvent, PipelineObserver},
    roles::RunReport,
    trace::StepSource,
};

/// Collects the reports of all runs while an answer is generated.
#[derive(Default)]
pub(super) struct RunCollector(Mutex<Vec<(StepSource, RunReport)>>);

impl PipelineObserver for RunCollector {
    fn observe(&self, _: u64, event: &PipelineEvent<'_>) {
        if let PipelineEvent::RunFinished { source, report } = event {
            self.0.lock().push((*source, **report));
        }
    }
}

impl RunCollector {
    pub(super) fn finish(&self, outcome: AnswerOutcome) -> MeteredAnswer {
        MeteredAnswer { runs: std::mem::take(&mut self.0.lock()), outcome }
    }
}

/// An answer and the report of every run of draft and target.
pub(super) struct MeteredAnswer {
    pub runs: Vec<(StepSource, RunReport)>,
    pub outcome: AnswerOutcome,
}

impl MeteredAnswer {
    /// Seconds from the first call to the end of the answer.
    pub fn seconds(&self) -> f64 {
        self.outcome.trace.totals.seconds
    }

    /// The runs of one model.
    pub fn runs_of(&self, source: StepSource) -> impl Iterator<Item = &RunReport> {
        self.runs.iter().filter(move |(of, _)| *of == source).map(|(_, report)| report)
    }

    /// Seconds of one model: (prefill, decode).
    pub fn prefill_and_decode_seconds(&self, source: StepSource) -> (f64, f64) {
        let runs = self.runs_of(source).map(|run| (run.prefill_seconds, run.seconds - run.prefill_seconds));
        runs.fold((0.0, 0.0), |(prefill, decode), (p, d)| (prefill + p, decode + d))
    }

    /// Seconds in which the reward model scored steps.
    pub fn scoring_seconds(&self) -> f64 {
        self.outcome.trace.totals.reward.seconds
    }
}
