//! What a model's runs should take, from what one plain run of it took.

use super::meter::Meter;
use crate::pipeline::{roles::RunReport, trace::Source};

/// Seconds of a model's forward passes: one that reads p tokens takes `write + (p - 1) * slope`, so that reading one
/// token is writing one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// A token written.
    pub write: f64,
    /// Each further token read.
    pub slope: f64,
}

impl Cost {
    /// From an answer in which a model read the whole prompt and wrote the rest alone.
    pub fn of(meter: &Meter, source: Source) -> Option<Self> {
        let run = meter.of(source).next()?;
        let written = run.forwards.checked_sub(1).filter(|written| *written > 0)?;
        let write = (run.seconds - run.prefill_seconds) / written as f64;
        let read = run.prefilled.checked_sub(1).filter(|read| *read > 0)?;
        Some(Self { write, slope: ((run.prefill_seconds - write) / read as f64).max(0.0) })
    }

    fn predict(self, run: &RunReport) -> f64 {
        self.write * run.forwards.max(1) as f64 + self.slope * run.prefilled.saturating_sub(1) as f64
    }
}

/// Seconds an answer should have taken.
pub(super) fn predicted(meter: &Meter, draft: Cost, target: Cost) -> f64 {
    let of = |source, cost: Cost| meter.of(source).map(|run| cost.predict(run)).sum::<f64>();
    of(Source::Draft, draft) + of(Source::Target, target) + meter.verdicts()
}
