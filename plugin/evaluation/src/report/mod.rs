//! The report of a run, built from its log alone.
//!
//! The same answers give the same report byte for byte, whatever their order in the log. Everything that depends on the
//! clock is in [`MethodReport::timing`].

mod accuracy_breakdown;
mod build;
mod code_notes;
mod comparison;
mod derived;
mod files;
mod flop_counts;
mod format;
mod headline;
mod html;
mod markdown;
mod method;
mod outcome;
mod plot;
mod rewards;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::{
    accuracy_breakdown::{AccuracyBreakdown, AccuracyDifference, MethodAccuracy},
    comparison::MethodComparison,
    files::{ReportError, ReportFiles, write},
    flop_counts::FlopCounts,
    headline::RunHeadline,
    html::ReportAnswers,
    method::{AcceptanceRates, LevelAccuracy, MethodCost, MethodReport, MethodTiming, TokenCounts},
    rewards::{RewardHistogram, RewardReport},
};
use crate::run_log::RunSetup;

/// All results of a run; `report.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How the run was made.
    pub setup: RunSetup,
    /// Number of questions that have an answer.
    pub questions: usize,
    /// The currency of the costs; absent where no model has a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// The levels of these questions in order; empty if the questions have none.
    pub levels: Vec<String>,
    /// Every method that has answers, including those derived from other methods' answers.
    pub methods: Vec<MethodReport>,
    /// Requested methods that have no answers.
    pub not_run: Vec<String>,
    /// The name of RSD at the configured threshold.
    pub configured: Option<String>,
    /// The names of RSD at every threshold, in ascending order.
    pub sweep: Vec<String>,
    /// Where accuracy is lost, if an oracle was run.
    #[serde(alias = "losses")]
    pub accuracy_breakdown: Option<AccuracyBreakdown>,
    /// How well rewards separate right answers from wrong ones, by method.
    pub rewards: Vec<RewardReport>,
    /// What a reader must know about the data.
    pub notes: Vec<String>,
}

impl Report {
    /// The method with this name.
    #[must_use]
    pub fn method(&self, name: &str) -> Option<&MethodReport> {
        self.methods.iter().find(|method| method.name == name)
    }

    /// RSD as the report is about it: at the configured threshold, or else its only kind that was run.
    #[must_use]
    pub fn rsd(&self) -> Option<&MethodReport> {
        if let Some(name) = &self.configured {
            return self.method(name);
        }
        let mut kinds = self.methods.iter().filter(|method| method.name.starts_with("rsd"));
        let first = kinds.next()?;
        kinds.next().is_none().then_some(first)
    }

    /// The methods of narrow tables and pictures: either model alone, RSD as configured, and its competitors.
    fn main_methods(&self) -> Vec<&MethodReport> {
        let rival = |name: &str| ["best-of-", "majority-of-"].iter().any(|rival| name.starts_with(rival));
        let is_main = |name: &str| {
            ["target", "draft", "beam"].contains(&name)
                || self.configured.as_deref() == Some(name)
                || rival(name) && name.ends_with("(draft)")
        };
        self.methods.iter().filter(|method| is_main(&method.name)).collect()
    }
}

/// The threshold in the name of an RSD method.
fn delta(name: &str) -> Option<f64> {
    name.strip_prefix("rsd@")?.parse().ok()
}
