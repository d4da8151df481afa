//! What can go wrong with a model file, and what the reader of the message can do about it.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use rsd_files::FileError;

/// Why a model is not available.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The catalog does not have this name.
    #[error("no bundled model is called {name:?}; the known names are {known} (`mistralrs-rsd models list`)")]
    Unknown {
        /// The name asked for.
        name: String,
        /// All names in the catalog.
        known: String,
    },
    /// There is no home directory to put the cache in.
    #[error("no directory for model files: neither RSD_CACHE nor XDG_CACHE_HOME nor HOME is set; set RSD_CACHE to one")]
    NoCacheDir,
    #[error(transparent)]
    File(#[from] FileError),
    /// A source sent bytes that are not the model.
    #[error("{origin} is not the model: its SHA-256 is {found}, expected {expected}")]
    WrongHash {
        /// Where the bytes came from.
        origin: String,
        /// The catalog's SHA-256.
        expected: String,
        /// The SHA-256 of the bytes.
        found: String,
    },
    /// One source could not deliver.
    #[error("{0}")]
    Source(String),
    /// One source was not asked, because it is not configured or was disabled.
    #[error("{0}")]
    Skipped(String),
    /// No source could deliver.
    #[error("{}", FailureList { name, path, sha256, tried })]
    AllSourcesFailed {
        name: &'static str,
        /// Where its file belongs.
        path: PathBuf,
        /// The SHA-256 that it must have.
        sha256: &'static str,
        /// Every source in the order tried, with its failure.
        tried: Vec<SourceFailure>,
    },
    /// A GGUF file could not be read or written.
    #[error("{}: {reason}; is it a complete GGUF file of version 1 to 3?", path.display())]
    Gguf {
        path: PathBuf,
        /// What the reader or writer reported.
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFailure {
    /// The name of the source.
    pub source: &'static str,
    /// Why it did not deliver.
    pub reason: String,
}

struct FailureList<'a> {
    name: &'a str,
    path: &'a Path,
    sha256: &'a str,
    tried: &'a [SourceFailure],
}

impl fmt::Display for FailureList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no source could deliver the model {:?}:", self.name)?;
        for failure in self.tried {
            writeln!(f, "  {}: {}", failure.source, failure.reason)?;
        }
        writeln!(f, "Do one of these:")?;
        writeln!(f, "  put the file at {} (SHA-256 {})", self.path.display(), self.sha256)?;
        writeln!(
            f,
            "  set RSD_MODELS_PATH to a directory that holds it, or run `mistralrs-rsd models pull {} --from DIR`",
            self.name
        )?;
        write!(f, "  repair the network and run `mistralrs-rsd models pull {}`: it resumes where it stopped", self.name)
    }
}
