//! Finds the weight files of a model in a local folder.

use std::path::{Path, PathBuf};

use mistralrs_core::ModelSelected;

/// The weight files of a model that lies in a local folder; empty for a model on a hub.
pub(super) fn local_files(selected: &ModelSelected) -> Vec<PathBuf> {
    match selected {
        ModelSelected::GGUF { quantized_model_id, quantized_filename, .. } => {
            quantized_filename.split([';', ' ']).map(|file| Path::new(quantized_model_id).join(file)).collect()
        }
        ModelSelected::Plain { model_id, .. } | ModelSelected::Run { model_id, .. } => {
            let Ok(entries) = std::fs::read_dir(model_id) else { return Vec::new() };
            let paths = entries.flatten().map(|entry| entry.path());
            paths.filter(|path| path.extension().is_some_and(|e| e == "safetensors")).collect()
        }
        _ => Vec::new(),
    }
}
