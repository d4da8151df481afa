//! What an answer cost, run by run.

use parking_lot::Mutex;

use crate::pipeline::{
    Outcome,
    observe::{Event, Observer},
    roles::RunReport,
    trace::Source,
};

/// Collects while an answer is made.
#[derive(Default)]
pub(super) struct Observing(Mutex<Vec<(Source, RunReport)>>);

impl Observer for Observing {
    fn observe(&self, _: u64, event: &Event<'_>) {
        if let Event::Ran { source, report } = event {
            self.0.lock().push((*source, **report));
        }
    }
}

impl Observing {
    pub(super) fn read(&self, outcome: Outcome) -> Meter {
        Meter { runs: std::mem::take(&mut self.0.lock()), outcome }
    }
}

/// An answer and what it cost.
pub(super) struct Meter {
    /// Every run of draft and target.
    pub runs: Vec<(Source, RunReport)>,
    pub outcome: Outcome,
}

impl Meter {
    /// Seconds from the first call to the end.
    pub fn seconds(&self) -> f64 {
        self.outcome.trace.totals.seconds
    }

    /// Of one model.
    pub fn of(&self, source: Source) -> impl Iterator<Item = &RunReport> {
        self.runs.iter().filter(move |(of, _)| *of == source).map(|(_, report)| report)
    }

    /// Seconds in which one model read, and in which it wrote.
    pub fn read_and_wrote(&self, source: Source) -> (f64, f64) {
        let runs = self.of(source).map(|run| (run.prefill_seconds, run.seconds - run.prefill_seconds));
        runs.fold((0.0, 0.0), |(reads, writes), (read, wrote)| (reads + read, writes + wrote))
    }

    /// Seconds of verdicts.
    pub fn verdicts(&self) -> f64 {
        self.outcome.trace.totals.reward.seconds
    }
}
