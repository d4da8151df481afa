//! Why a checkpoint cannot be used as a reward model, and what to do.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::models::ModelError;

/// Why a checkpoint cannot be used as a reward model.
#[derive(Debug, thiserror::Error)]
pub enum GraftError {
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The cache could not be used.
    #[error(transparent)]
    Cache(#[from] ModelError),
    /// A file is not what it should be.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The checkpoint is of another family than the one named.
    #[error("{}: `format: {wanted}` was named, but {found}. Name the format it is of, or `auto`", path.display())]
    WrongFamily {
        /// The checkpoint.
        path: PathBuf,
        /// The family named.
        wanted: &'static str,
        /// What the checkpoint holds.
        found: String,
    },
    /// Nothing tells the family.
    #[error(
        "{}: its kind of reward model cannot be told: {found}. Name its `format` (skywork, qwen-prm, rlhflow, math-shepherd, reason-eval), or use it as a judge with `kind: judge`",
        path.display()
    )]
    Unknown {
        /// The checkpoint.
        path: PathBuf,
        /// What the checkpoint holds.
        found: String,
    },
    /// The hub did not deliver.
    #[error(
        "{model} could not be fetched from the hub: {reason}. Check its name and the network, or name a local folder"
    )]
    Hub {
        /// The model.
        model: String,
        /// What went wrong.
        reason: String,
    },
}

impl GraftError {
    /// For `map_err` on an operation on `path`; `action` is the verb of the message.
    pub(super) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.to_path_buf(), source }
    }

    /// A file that is not what it should be.
    pub(in crate::reward) fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File { path: path.to_path_buf(), reason: reason.into() }
    }
}
