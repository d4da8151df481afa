//! What can go wrong when a head is trained, and where.

use std::path::Path;

use rsd_files::FileError;

/// Why a head could not be trained, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    #[error(transparent)]
    File(#[from] FileError),
    /// A file does not hold what it must.
    #[error("{place}: {reason}")]
    Invalid {
        /// The file, with the line if it has lines.
        place: String,
        /// What was found, what was expected, and what to do.
        reason: String,
    },
    /// The data is not sufficient for what was asked.
    #[error("{0}")]
    Unfit(String),
    /// The tensor library failed.
    #[error("computing: {0}")]
    Compute(#[from] candle_core::Error),
}

impl TrainingError {
    pub(crate) fn invalid(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Invalid { place: path.display().to_string(), reason: reason.to_string() }
    }
}
