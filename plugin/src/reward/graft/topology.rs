//! In-situ quantisation that leaves the output matrix alone.
//!
//! mistral.rs's `isq` quantises `lm_head` with all the rest, and an override can change its type but not spare it. A
//! topology that names the layers alone does spare it, and the rows that yield the state stay exact.

use std::path::{Path, PathBuf};

use super::GraftError;
use crate::models::atomic;

/// A topology file that quantises the layers to `isq` (a type as mistral.rs spells it) and nothing else.
///
/// # Errors
/// The cache cannot be written.
pub fn layers_only(isq: &str, cache: &Path) -> Result<PathBuf, GraftError> {
    let name: String = isq.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let folder = cache.join("grafted");
    std::fs::create_dir_all(&folder).map_err(GraftError::io("create", &folder))?;
    let path = folder.join(format!("layers-{name}.json"));
    // JSON is YAML.
    let topology = serde_json::json!({ r"/layers\.\d+\.(self_attn|mlp)\./": { "isq": isq } });
    atomic::write_json(&path, &topology)?;
    Ok(path)
}
