//! Translates the model subcommands of the older server (`mistralrs_core::ModelSelected`) into a role.
//!
//! They load the same model as the current options. An option without a current counterpart is rejected.

use mistralrs_core::ModelSelected;
use serde_json::{Map, Value};

use super::FlagError;
use super::unsupported::{self, UnsupportedOption};
use rsd_config::{ModelFormat, RoleConfig};

/// Fields that have another name in a role: (field, key).
const RENAMED: &[(&str, &str)] = &[
    ("quantized_model_id", "model_id"),
    ("tokenizer_json", "tokenizer"),
    ("quantized_filename", "quantized_file"),
    ("organization", "isq_organization"),
    ("adapter_model_id", "lora"),
    ("adapters_model_id", "lora"),
    ("xlora_model_id", "xlora"),
    ("order", "xlora_order"),
];

/// Fields that are not supported.
const UNSUPPORTED: &[(&str, &UnsupportedOption)] = &[
    ("write_uqff", &unsupported::WRITE_UQFF),
    ("hf_cache_path", &unsupported::HF_CACHE_PATH),
    ("matformer_config_path", &unsupported::MATFORMER_CONFIG_PATH),
    ("matformer_slice_name", &unsupported::MATFORMER_SLICE_NAME),
    ("max_edge", &unsupported::MAX_EDGE),
    ("max_num_images", &unsupported::MAX_NUM_IMAGES),
    ("max_image_length", &unsupported::MAX_IMAGE_LENGTH),
];

/// The name of the subcommand, and the file format that it loads.
pub(super) fn kind(selected: &ModelSelected) -> Result<(&'static str, ModelFormat), FlagError> {
    Ok(match selected {
        // `run` detects the architecture. Like `plain` it reads safetensors.
        ModelSelected::Run { .. } => ("run", ModelFormat::Plain),
        ModelSelected::Plain { .. } => ("plain", ModelFormat::Plain),
        ModelSelected::XLora { .. } => ("x-lora", ModelFormat::Plain),
        ModelSelected::Lora { .. } => ("lora", ModelFormat::Plain),
        ModelSelected::GGUF { .. } => ("gguf", ModelFormat::Gguf),
        ModelSelected::XLoraGGUF { .. } => ("x-lora-gguf", ModelFormat::Gguf),
        ModelSelected::LoraGGUF { .. } => ("lora-gguf", ModelFormat::Gguf),
        ModelSelected::GGML { .. } => ("ggml", ModelFormat::Ggml),
        ModelSelected::XLoraGGML { .. } => ("x-lora-ggml", ModelFormat::Ggml),
        ModelSelected::LoraGGML { .. } => ("lora-ggml", ModelFormat::Ggml),
        ModelSelected::Toml { .. } => return Err(FlagError::Unsupported(&unsupported::TOML)),
        ModelSelected::MultiModel { .. } => return Err(FlagError::Unsupported(&unsupported::MULTI_MODEL)),
        ModelSelected::MultimodalPlain { .. } => {
            return Err(FlagError::Unsupported(&unsupported::MULTIMODAL_PLAIN));
        }
        ModelSelected::DiffusionPlain { .. } => {
            return Err(FlagError::Unsupported(&unsupported::DIFFUSION));
        }
        ModelSelected::Speech { .. } => return Err(FlagError::Unsupported(&unsupported::SPEECH)),
        ModelSelected::Embedding { .. } => return Err(FlagError::Unsupported(&unsupported::EMBEDDING)),
    })
}

/// The role that `selected` describes.
///
/// The fields are matched by name, so an option that a newer mistral.rs adds causes an error and is not lost.
pub(super) fn role(selected: &ModelSelected) -> Result<RoleConfig, FlagError> {
    let (subcommand, format) = kind(selected)?;
    let unsupported_option = |reason: String| FlagError::Subcommand { subcommand, reason };
    let value = serde_json::to_value(selected).map_err(|error| unsupported_option(error.to_string()))?;
    let Some(Value::Object(fields)) = value.as_object().and_then(|variant| variant.values().next()) else {
        return Err(unsupported_option("it has no options".to_owned()));
    };
    let mut role = Map::new();
    for (field, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        if let Some((_, unsupported)) = UNSUPPORTED.iter().find(|(name, _)| name == field) {
            return Err(FlagError::Unsupported(unsupported));
        }
        let key = RENAMED.iter().find(|(name, _)| name == field).map_or(field.as_str(), |(_, key)| key);
        role.insert(key.to_owned(), value.clone());
    }
    let mut role: RoleConfig =
        serde_json::from_value(Value::Object(role)).map_err(|error| unsupported_option(error.to_string()))?;
    if role.model_id.is_none() {
        return Err(FlagError::MissingModel { subcommand });
    }
    role.format = Some(format);
    Ok(role)
}
