//! What can go wrong with a collection: its models, its grades, existing solutions, and the folder that is filled.

use std::path::{Path, PathBuf};

use rsd_core::pipeline::roles::RoleError;
use rsd_evaluation::grades::GradeError;
use rsd_files::FileError;

/// Why a solution could not be collected, or a collection not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectionError {
    #[error(transparent)]
    File(#[from] FileError),
    /// The draft or the model that labels failed, or the question does not fit it.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// A solution cannot be graded.
    #[error(transparent)]
    Grade(#[from] GradeError),
    /// A line is not what it must be.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with the line.
        reason: String,
    },
    /// A file is not what it must be.
    #[error("{}: {reason}", path.display())]
    Invalid {
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder holds solutions that were collected with other settings.
    #[error(
        "{} holds solutions that were collected with other settings: {difference}. Name another --out, or collect with \
         the same settings",
        folder.display()
    )]
    OtherSettings {
        folder: PathBuf,
        /// The first setting that differs, with both values.
        difference: String,
    },
    /// A solution cannot be encoded for its file.
    #[error("cannot encode sample {sample} of {problem}: {reason}")]
    Encode {
        problem: String,
        /// Which of the problem's solutions.
        sample: usize,
        /// What the encoder reported.
        reason: String,
    },
}

impl CollectionError {
    pub(super) fn line(path: &Path, line: usize, reason: impl std::fmt::Display) -> Self {
        Self::Line { path: path.to_path_buf(), line, reason: reason.to_string() }
    }

    pub(super) fn invalid(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Invalid { path: path.to_path_buf(), reason: reason.to_string() }
    }
}
