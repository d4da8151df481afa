//! The report of a run, from its log alone.
//!
//! The same answers give the same report byte for byte, whatever their order in the log. What depends on time stands
//! apart and can be left out: [`Report::without_timing`].

mod build;
mod derived;
mod files;
mod losses;
mod markdown;
mod method;
mod outcome;
mod plot;
mod rewards;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use self::{
    files::{Files, write},
    losses::{Losses, Part, Route},
    method::{Acceptance, AtLevel, Comparison, Flops, Method, Timing, Tokens},
    rewards::{Histogram, Rewards},
};
use crate::record::Setup;

/// All figures of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How the run was made.
    pub setup: Setup,
    /// Questions that have an answer.
    pub questions: usize,
    /// The levels of these questions, if they have any, in order.
    pub levels: Vec<String>,
    /// Every method with answers, those derived from others' answers included.
    pub methods: Vec<Method>,
    /// Methods asked for that have no answers.
    pub not_run: Vec<String>,
    /// RSD at the configured threshold.
    pub configured: Option<String>,
    /// RSD at every threshold, from the lowest.
    pub sweep: Vec<String>,
    /// Where accuracy is lost, if the methods that tell are there.
    pub losses: Option<Losses>,
    /// How well rewards tell right from wrong, by method.
    pub rewards: Vec<Rewards>,
    /// What the reader must know of the data.
    pub notes: Vec<String>,
}

impl Report {
    /// A method by its name.
    #[must_use]
    pub fn method(&self, name: &str) -> Option<&Method> {
        self.methods.iter().find(|method| method.name == name)
    }

    /// The methods of narrow tables and pictures: the models alone, RSD as configured, and what RSD is up against.
    fn main_methods(&self) -> Vec<&Method> {
        let rival = |name: &str| ["best-of-", "majority-of-"].iter().any(|rival| name.starts_with(rival));
        let is_main = |name: &str| {
            ["target", "draft", "beam"].contains(&name)
                || self.configured.as_deref() == Some(name)
                || rival(name) && name.ends_with("(draft)")
        };
        self.methods.iter().filter(|method| is_main(&method.name)).collect()
    }

    /// All that is not measured in seconds.
    #[must_use]
    pub fn without_timing(mut self) -> Self {
        self.methods.iter_mut().for_each(|method| method.timing = None);
        self
    }
}

/// The threshold of RSD in a method's name.
fn delta(name: &str) -> Option<f64> {
    name.strip_prefix("rsd@")?.parse().ok()
}
