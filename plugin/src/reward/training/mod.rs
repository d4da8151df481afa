//! Training a resident reward: from rollouts of the draft to a calibrated head, with its model card.
//!
//! [`Dataset`] reads what `prm collect` wrote, [`fit()`] learns a head, [`validate`] tells what a recipe is worth on
//! unseen problems, [`Calibration`] makes rewards probabilities, [`report()`] measures, and [`HeadFile`] is what
//! serving loads. Everything is split by problem and follows from the data and one seed.

mod calibration;
pub mod card;
mod dataset;
mod error;
mod features;
mod fit;
mod folds;
mod head_file;
mod lbfgs;
pub mod metrics;
mod network;
mod plot;
mod report;
pub mod table;
mod tensors;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod validate;

pub use calibration::{Calibration, Wish, delta};
pub use dataset::{Dataset, Solution, Step};
pub use error::TrainingError;
pub use features::{Feature, FeatureSet};
pub use fit::{Recipe, fit};
pub use head_file::HeadFile;
pub use network::Network;
pub use plot::svg;
pub use report::{AtPosition, Figure, Quality, Ranking, Report, report};
