//! Why a checkpoint cannot be used as a reward model, and what to do.

use std::path::{Path, PathBuf};

use rsd_files::FileError;

use crate::models::ModelError;

/// Why a checkpoint cannot be used as a reward model.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error(transparent)]
    File(#[from] FileError),
    /// The cache could not be used.
    #[error(transparent)]
    Cache(#[from] ModelError),
    /// A file is not what it should be.
    #[error("{}: {reason}", path.display())]
    Invalid {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The checkpoint is of another family than the one named.
    #[error("{}: `format: {wanted}` was named, but {found}. Name the format it is of, or `auto`", path.display())]
    WrongFamily { path: PathBuf, wanted: &'static str, found: String },
    /// Nothing in the checkpoint or its name shows the family.
    #[error(
        "{}: cannot recognize its kind of reward model: {found}. Name its `format` (skywork, qwen-prm, rlhflow, math-shepherd, reason-eval), or use it as a judge with `kind: judge`",
        path.display()
    )]
    UnknownFamily { path: PathBuf, found: String },
    /// The hub did not deliver.
    #[error("cannot fetch {model} from the hub: {reason}. Check its name and the network, or name a local folder")]
    Hub { model: String, reason: String },
}

impl CheckpointError {
    /// A file that is not what it should be.
    pub(crate) fn invalid(path: &Path, reason: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_path_buf(), reason: reason.into() }
    }
}
