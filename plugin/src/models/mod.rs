//! The models that come with the project: known by name, fetched once, verified always.
//!
//! [`ensure`] gives the path of a file that is the model, byte for byte, or an error that says what to do. Nothing
//! half-written is ever handed out: a file gets its name only after its sha256 matched the [`Catalogue`].
//! [`requantized`] gives a copy of a GGUF in types that run fast on a CPU, made once and cached beside the source.
//!
//! Everything here blocks; call it through `spawn_blocking` from async code.
//!
//! ```no_run
//! use mistralrs_rsd::models::{self, Silent};
//!
//! let draft = models::ensure("draft", &Silent)?;
//! let fast = models::requantized(&draft, &Silent)?;
//! println!("{}", fast.display());
//! # Ok::<(), models::ModelError>(())
//! ```

pub(crate) mod atomic;
mod catalogue;
pub(crate) mod derive;
pub(crate) mod digest;
mod error;
pub(crate) mod lock;
mod manifest;
mod part;
mod progress;
mod requantise;
mod source;
mod stamp;
mod store;
#[cfg(test)]
mod testing;

use std::path::{Path, PathBuf};

pub use catalogue::{Catalogue, Entry, HubFile, WheelPart, Wheels};
pub use error::{ModelError, SourceFailure};
pub use manifest::{Manifest, Recorded};
pub use progress::{Progress, Silent, on_stderr};
pub use requantise::{requantized, verify_requantized};
pub use stamp::Stamp;
pub use store::{State, Store, cache_dir};

/// The model of this name, or an error that lists the names there are.
pub fn find(name: &str) -> Result<&'static Entry, ModelError> {
    Catalogue::find(name).ok_or_else(|| ModelError::Unknown {
        name: name.to_owned(),
        known: Catalogue::all().iter().map(|entry| entry.name).collect::<Vec<_>>().join(", "),
    })
}

/// The path of the verified file of a bundled model, fetched first if it is not there. Quick when it is.
pub fn ensure(name: &str, progress: &dyn Progress) -> Result<PathBuf, ModelError> {
    Store::from_env()?.ensure(find(name)?, progress)
}

/// sha256 of the file that a copy was made from; `None` for a file that is no copy of ours.
#[must_use]
pub fn source_sha256(copy: &Path) -> Option<String> {
    derive::manifest_of(copy).map(|manifest| manifest.source.stamp.sha256)
}
