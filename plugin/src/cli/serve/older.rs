//! The older server's model subcommands, which are `mistralrs_core::ModelSelected`, as a role.
//!
//! The same model loads as with today's options; what those cannot say is refused by name.

use mistralrs_core::ModelSelected;
use serde_json::{Map, Value};

use super::FlagError;
use super::refused::{self, Refusal};
use crate::config::{Format, RoleConfig};

/// Fields that a role names differently.
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

/// Fields that are refused when they are given.
const REFUSED: &[(&str, &Refusal)] = &[
    ("write_uqff", &refused::WRITE_UQFF),
    ("hf_cache_path", &refused::HF_CACHE_PATH),
    ("matformer_config_path", &refused::MATFORMER_CONFIG_PATH),
    ("matformer_slice_name", &refused::MATFORMER_SLICE_NAME),
    ("max_edge", &refused::MAX_EDGE),
    ("max_num_images", &refused::MAX_NUM_IMAGES),
    ("max_image_length", &refused::MAX_IMAGE_LENGTH),
];

/// The subcommand as it is written, and the file format it loads.
pub(super) fn kind(selected: &ModelSelected) -> Result<(&'static str, Format), FlagError> {
    Ok(match selected {
        // `run` finds the architecture out by itself; like `plain` it reads safetensors.
        ModelSelected::Run { .. } => ("run", Format::Plain),
        ModelSelected::Plain { .. } => ("plain", Format::Plain),
        ModelSelected::XLora { .. } => ("x-lora", Format::Plain),
        ModelSelected::Lora { .. } => ("lora", Format::Plain),
        ModelSelected::GGUF { .. } => ("gguf", Format::Gguf),
        ModelSelected::XLoraGGUF { .. } => ("x-lora-gguf", Format::Gguf),
        ModelSelected::LoraGGUF { .. } => ("lora-gguf", Format::Gguf),
        ModelSelected::GGML { .. } => ("ggml", Format::Ggml),
        ModelSelected::XLoraGGML { .. } => ("x-lora-ggml", Format::Ggml),
        ModelSelected::LoraGGML { .. } => ("lora-ggml", Format::Ggml),
        ModelSelected::Toml { .. } => return Err(FlagError::Refused(&refused::TOML)),
        ModelSelected::MultiModel { .. } => return Err(FlagError::Refused(&refused::MULTI_MODEL)),
        ModelSelected::MultimodalPlain { .. } => {
            return Err(FlagError::Refused(&refused::MULTIMODAL_PLAIN));
        }
        ModelSelected::DiffusionPlain { .. } => {
            return Err(FlagError::Refused(&refused::DIFFUSION));
        }
        ModelSelected::Speech { .. } => return Err(FlagError::Refused(&refused::SPEECH)),
        ModelSelected::Embedding { .. } => return Err(FlagError::Refused(&refused::EMBEDDING)),
    })
}

/// The role that `selected` describes.
///
/// The fields are carried over by name, so one that a newer mistral.rs adds is an error and not lost.
pub(super) fn role(selected: &ModelSelected) -> Result<RoleConfig, FlagError> {
    let (subcommand, format) = kind(selected)?;
    let unreadable = |reason: String| FlagError::Subcommand { subcommand, reason };
    let value = serde_json::to_value(selected).map_err(|error| unreadable(error.to_string()))?;
    let Some(Value::Object(fields)) = value.as_object().and_then(|variant| variant.values().next()) else {
        return Err(unreadable("it has no options".to_owned()));
    };
    let mut role = Map::new();
    for (field, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        if let Some((_, refusal)) = REFUSED.iter().find(|(name, _)| name == field) {
            return Err(FlagError::Refused(refusal));
        }
        let key = RENAMED.iter().find(|(name, _)| name == field).map_or(field.as_str(), |(_, key)| key);
        role.insert(key.to_owned(), value.clone());
    }
    let mut role: RoleConfig =
        serde_json::from_value(Value::Object(role)).map_err(|error| unreadable(error.to_string()))?;
    if role.model_id.is_none() {
        return Err(FlagError::MissingModel { subcommand });
    }
    role.format = Some(format);
    Ok(role)
}
