//! What can go wrong with a model file, and what the reader of the message can do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a model is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The catalogue does not have this name.
    #[error("no bundled model is called {name:?}; the known names are {known} (`mistralrs-rsd models list`)")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// There is no home directory to put the cache in.
    #[error("no directory for model files: neither RSD_CACHE nor XDG_CACHE_HOME nor HOME is set; set RSD_CACHE to one")]
    NoCacheDir,
    /// The file system refused something.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A source sent bytes that are not the model.
    #[error("{origin} gave something else than the model: sha256 is {found}, expected {expected}")]
    WrongHash {
        /// Where the bytes came from.
        origin: String,
        /// The catalogue's sha256.
        expected: String,
        /// The sha256 of what came.
        found: String,
    },
    /// One source could not deliver.
    #[error("{0}")]
    Source(String),
    /// One source was not asked, because of how things are set up.
    #[error("{0}")]
    Skipped(String),
    /// No source could deliver.
    #[error("{}", AllFailed { name, path, sha256, tried })]
    AllSourcesFailed {
        /// The model.
        name: &'static str,
        /// Where its file belongs.
        path: PathBuf,
        /// The sha256 it must have.
        sha256: &'static str,
        /// Every source in the order tried, with its failure.
        tried: Vec<SourceFailure>,
    },
    /// A GGUF file could not be read or written.
    #[error("{}: {reason}; is it a whole GGUF file of version 1 to 3?", path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// What the reader or writer said.
        reason: String,
    },
}

/// One source's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFailure {
    /// The source in words.
    pub source: &'static str,
    /// Why it did not deliver.
    pub reason: String,
}

impl ModelError {
    /// For `map_err` on an operation on `path`; `action` is the verb of the message.
    pub(super) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.to_path_buf(), source }
    }
}

struct AllFailed<'a> {
    name: &'a str,
    path: &'a Path,
    sha256: &'a str,
    tried: &'a [SourceFailure],
}

impl fmt::Display for AllFailed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the model {:?} could not be had from any source:", self.name)?;
        for failure in self.tried {
            writeln!(f, "  {}: {}", failure.source, failure.reason)?;
        }
        writeln!(f, "What to do, either of:")?;
        writeln!(f, "  put the file at {} (sha256 {})", self.path.display(), self.sha256)?;
        writeln!(
            f,
            "  set RSD_MODELS_PATH to a directory that holds it, or run `mistralrs-rsd models pull {} --from DIR`",
            self.name
        )?;
        write!(f, "  repair the network and run `mistralrs-rsd models pull {}`: it goes on where it stopped", self.name)
    }
}
