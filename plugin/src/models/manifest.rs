//! What was done to make a rewritten copy of a file, written beside it as JSON.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::stamp::Stamp;

/// The record beside a rewritten copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The program and version that wrote the file.
    pub tool: String,
    /// Version of the recipe.
    pub recipe: u32,
    /// The file it was made from.
    pub source: Recorded,
    /// The file itself.
    pub output: Recorded,
    /// Number of tensors by type in the source.
    pub tensors_before: BTreeMap<String, usize>,
    /// Number of tensors by type in the file.
    pub tensors_after: BTreeMap<String, usize>,
}

/// A file by name and stamp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// File name without directory.
    pub file: String,
    /// Size, time and sha256.
    #[serde(flatten)]
    pub stamp: Stamp,
}

impl Manifest {
    /// The manifest at `path`; one that cannot be read is as good as none.
    pub(super) fn load(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Whether `output` is what this manifest describes, made by this version of its recipe, going by size and
    /// time.
    pub(super) fn describes(&self, output: &Path, recipe: u32) -> bool {
        self.recipe == recipe && self.output.stamp.is_fresh(output)
    }
}
