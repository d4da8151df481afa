//! The format of the model on the command line, and options that have no effect on it.

use super::FlagError;
use super::model::ModelOptions;
use rsd_config::{ModelFormat, OptionSpelling, RoleConfig, option_conflicts};

/// The format of the model, if the options determine it.
pub(super) fn format(options: &ModelOptions) -> Result<Option<ModelFormat>, FlagError> {
    match (&options.quantized_file, options.format) {
        (Some(files), None) => {
            let gguf = files.split(';').all(|file| file.trim_end().to_ascii_lowercase().ends_with(".gguf"));
            if gguf { Ok(Some(ModelFormat::Gguf)) } else { Err(FlagError::UnknownFormat { file: files.clone() }) }
        }
        (_, format) => Ok(format),
    }
}

/// Rejects options that mistral.rs would ignore, or fail on, for this model.
pub(super) fn check(role: &RoleConfig) -> Result<(), FlagError> {
    match option_conflicts(role, OptionSpelling::Line).into_iter().next() {
        Some(clash) => Err(FlagError::Clash { flag: OptionSpelling::Line.name(clash.key), message: clash.message }),
        None => Ok(()),
    }
}
