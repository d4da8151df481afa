//! The manifest beside a rewritten copy of a file: JSON that says what it was made from and how.

use std::{collections::BTreeMap, fs, path::Path};

use rsd_files::FileStamp;
use serde::{Deserialize, Serialize};

/// The record beside a rewritten copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CopyManifest {
    /// The program and version that wrote the file.
    pub tool: String,
    /// Version of the rewrite that made the copy.
    pub recipe: u32,
    /// The file that the copy was made from.
    pub source: FileRecord,
    pub output: FileRecord,
    /// Number of tensors by type in the source.
    pub tensors_before: BTreeMap<String, usize>,
    /// Number of tensors by type in the copy.
    pub tensors_after: BTreeMap<String, usize>,
}

/// A file by name and stamp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileRecord {
    /// File name without directory.
    pub file: String,
    /// Size, modification time and SHA-256.
    #[serde(flatten)]
    pub stamp: FileStamp,
}

impl CopyManifest {
    /// The manifest at `path`. `None` if there is none or it cannot be read.
    pub(super) fn load(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Whether `output` has the size and time that this manifest recorded, and was made by this version of its rewrite.
    pub(super) fn describes(&self, output: &Path, recipe: u32) -> bool {
        self.recipe == recipe && self.output.stamp.is_fresh(output)
    }
}
