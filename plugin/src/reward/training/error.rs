//! What can go wrong when a head is trained, and where.

use std::{io, path::Path};

use crate::models::ModelError;

/// Why a head could not be trained, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// The file system refused something.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else than it must.
    #[error("{place}: {reason}")]
    Invalid {
        /// The file, with the line if it has lines.
        place: String,
        /// What was found, what was expected, and what to do.
        reason: String,
    },
    /// The data cannot answer what was asked of it.
    #[error("{0}")]
    Unfit(String),
    /// A file could not be written whole.
    #[error(transparent)]
    Write(#[from] ModelError),
    /// The tensor library failed.
    #[error("computing: {0}")]
    Compute(#[from] candle_core::Error),
}

impl TrainingError {
    pub(super) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.display().to_string(), source }
    }

    pub(in crate::reward) fn invalid(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Invalid { place: path.display().to_string(), reason: reason.to_string() }
    }
}
