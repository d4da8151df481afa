//! Estimates with intervals: the bootstrap, the area under the ROC curve, tests and intervals of proportions; and medians
//! with their range.
//!
//! Every random draw has a fixed seed, so the same data always gives the same figures.

mod bootstrap;
mod median_range;
mod proportion;
mod ranking;

pub use self::{
    bootstrap::{BootstrapResamples, Estimate, expanded_tail, percentile_interval},
    median_range::MedianRange,
    proportion::{NORMAL_97_5, mcnemar, wilson},
    ranking::{ScoredSample, WeightedSample, auc, auc_estimate},
};
