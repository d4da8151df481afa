//! The format of the model on the line, and options on it that clash.

use super::FlagError;
use super::model::ModelOptions;
use crate::config::{Format, RoleConfig, Written, clashes};

/// The format of the model, if it is known from the options.
pub(super) fn format(options: &ModelOptions) -> Result<Option<Format>, FlagError> {
    match (&options.quantized_file, options.format) {
        (Some(files), None) => {
            let gguf = files.split(';').all(|file| file.trim_end().to_ascii_lowercase().ends_with(".gguf"));
            if gguf { Ok(Some(Format::Gguf)) } else { Err(FlagError::UnknownFormat { file: files.clone() }) }
        }
        (_, format) => Ok(format),
    }
}

/// Refuses options that mistral.rs would overlook, or fail on, for this model.
pub(super) fn check(role: &RoleConfig) -> Result<(), FlagError> {
    match clashes(role, Written::Line).into_iter().next() {
        Some(clash) => Err(FlagError::Clash { flag: Written::Line.name(clash.key), message: clash.message }),
        None => Ok(()),
    }
}
