//! In-situ quantization that leaves the output matrix alone.
//!
//! mistral.rs's `isq` quantizes `lm_head` with everything else, and an override can change its type but not exclude it.
//! A topology that names only the layers does exclude it, so the rows that expose the state remain exact.

use std::path::{Path, PathBuf};

use rsd_files::{FileAccess, FileError, replace};

use super::{CheckpointError, safetensors::cache_folder};

/// A topology file that quantizes the layers to `isq` (a type as mistral.rs spells it) and nothing else.
///
/// # Errors
/// The cache cannot be written.
pub(crate) fn layers_only_topology(isq: &str, cache: &Path) -> Result<PathBuf, CheckpointError> {
    let name: String = isq.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let folder = cache_folder(cache);
    std::fs::create_dir_all(&folder).map_err(FileError::io("create", &folder))?;
    let path = folder.join(format!("layers-{name}.json"));
    // JSON is YAML.
    let topology = serde_json::json!({ r"/layers\.\d+\.(self_attn|mlp)\./": { "isq": isq } });
    replace::replace_json(&path, &topology, FileAccess::Shared)?;
    Ok(path)
}
