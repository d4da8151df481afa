//! Trains a reward head: from rollouts of the draft to a calibrated head with a model card.
//!
//! [`RolloutDataset`] reads what `prm collect` wrote, [`fit()`] trains a head, [`validate`] measures a recipe on unseen
//! problems, [`Calibration`] makes rewards probabilities, [`report()`] measures them, and [`HeadFile`] is what serving
//! loads. Data is always split by problem, and everything follows from the data and one seed.

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
#[cfg(any(test, feature = "test-support"))]
pub mod synthetic;
pub mod table;
mod tensors;
#[cfg(test)]
mod tests;
pub mod validate;

pub use rsd_statistics::{Estimate, WeightedSample};

pub use self::{
    calibration::{Calibration, ThresholdGoal, choose_threshold},
    dataset::{RolloutDataset, RolloutSolution, RolloutStep},
    error::TrainingError,
    features::{FeatureKind, FeatureSet},
    fit::{TrainingRecipe, fit},
    head_file::HeadFile,
    network::HeadNetwork,
    plot::svg,
    report::{CalibrationQuality, PositionAuc, RankingResult, RewardReport, report},
};
