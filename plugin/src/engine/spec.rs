//! From a deployment's words for a model to mistral.rs's: what to load, on which device, with which memory.

use std::{path::Path, str::FromStr};

use candle_core::Device;
use mistralrs_core::{
    AutoDeviceMapParams, DeviceLayerMapMetadata, DeviceMapMetadata, DeviceMapSetting, IsqOrganization, IsqType,
    MemoryGpuConfig, ModelDType, ModelSelected, NormalLoaderType, PagedAttentionConfig, PagedCacheType, TokenSource,
    get_auto_device_map_params, get_model_dtype, paged_attn_supported, parse_isq_value,
};

use super::States;
use crate::config::{Format, PagedAttnConfig, PagedAttnMode, RoleConfig};

/// PagedAttention reserves its memory at load time; where nothing names a context it is for this many tokens.
const RESERVED_CONTEXT: usize = 4096;

/// Everything `load` needs to know about one model.
pub struct EngineSpec {
    /// Which model.
    pub selected: ModelSelected,
    /// How to load and run it; its source fields are not looked at.
    pub options: RoleConfig,
    /// Which logits are the hidden state, for a grafted model ([`crate::reward::graft`]).
    pub states: States,
}

/// A field of a role that mistral.rs cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct SpecError {
    /// The field's name, as in the YAML.
    pub field: &'static str,
    /// What is wrong and what it may hold.
    pub reason: String,
}

fn parsed<T: FromStr>(field: &'static str, text: Option<&str>) -> Result<Option<T>, SpecError>
where
    T::Err: std::fmt::Display,
{
    text.map(|text| text.parse().map_err(|error| SpecError { field, reason: format!("`{text}`: {error}") })).transpose()
}

fn text(path: Option<&Path>) -> Option<String> {
    path.map(|path| path.to_string_lossy().into_owned())
}

impl EngineSpec {
    /// Translates a role of a deployment. Bundled models must have been turned into files before.
    ///
    /// # Errors
    /// A field that mistral.rs cannot take.
    pub fn from_role(role: &RoleConfig) -> Result<Self, SpecError> {
        Ok(Self { selected: select(role)?, options: role.clone(), states: States::Unseen })
    }

    /// A model chosen with mistral.rs's own subcommands, run with a role's options.
    #[must_use]
    pub fn from_selected(selected: ModelSelected, options: RoleConfig) -> Self {
        Self { selected, options, states: States::Unseen }
    }

    pub(super) fn device(&self) -> Result<Device, SpecError> {
        let wrap = |error: candle_core::Error| SpecError { field: "cpu", reason: format!("no device: {error}") };
        if self.options.cpu {
            Ok(Device::Cpu)
        } else if cfg!(feature = "metal") {
            Device::new_metal(0).map_err(wrap)
        } else {
            Device::cuda_if_available(0).map_err(wrap)
        }
    }

    pub(super) fn token_source(&self) -> Result<TokenSource, SpecError> {
        let text = self.options.token_source.as_deref();
        // The parser's own message repeats its input, which may be the token itself.
        text.map_or(Ok(TokenSource::CacheToken), |text| {
            text.parse().map_err(|_| SpecError {
                field: "token_source",
                reason: "expected cache, none, env:VAR, path:FILE or literal:TOKEN".to_owned(),
            })
        })
    }

    /// What a quantised model's attention and its cache are in, and everything of another model.
    ///
    /// On a CPU mistral.rs's `auto` is f16, whose every number is turned into f32 when it is used: with 2,000 tokens in
    /// the cache that is over a third of a token's time. So there `auto` is f32 for a quantised model. What it
    /// doubles is the cache, not the weights; a model of plain weights it would double, so that stays as it is.
    pub(super) fn dtype(&self, device: &Device) -> Result<ModelDType, SpecError> {
        use ModelSelected::{GGML, GGUF, LoraGGUF, XLoraGGUF};

        let asked =
            get_model_dtype(&self.selected).map_err(|error| SpecError { field: "dtype", reason: error.to_string() })?;
        let quantised = matches!(self.selected, GGUF { .. } | LoraGGUF { .. } | XLoraGGUF { .. } | GGML { .. });
        Ok(match asked {
            ModelDType::Auto if quantised && device.is_cpu() => ModelDType::F32,
            asked => asked,
        })
    }

    pub(super) fn isq(&self, device: &Device) -> Result<Option<IsqType>, SpecError> {
        let text = self.options.isq.as_deref();
        text.map(|text| parse_isq_value(text, Some(device)).map_err(|reason| SpecError { field: "isq", reason }))
            .transpose()
    }

    pub(super) fn device_map(&self) -> Result<DeviceMapSetting, SpecError> {
        let Some(layers) = &self.options.device_layers else {
            let auto = get_auto_device_map_params(&self.selected)
                .map_err(|error| SpecError { field: "max_seq_len", reason: error.to_string() })?;
            return Ok(DeviceMapSetting::Auto(auto));
        };
        let error = |text: &str| SpecError {
            field: "device_layers",
            reason: format!("`{text}`: expected ORD:NUM, each device once, or one number of layers"),
        };
        let mut map: Vec<DeviceLayerMapMetadata> = Vec::new();
        for text in layers {
            let (ordinal, layers) = match text.split_once(':') {
                Some((ordinal, layers)) => (ordinal.trim().parse().ok(), layers.trim().parse().ok()),
                None if self.options.device_layers.as_ref().is_some_and(|all| all.len() == 1) => {
                    (Some(0), text.trim().parse().ok())
                }
                None => (None, None),
            };
            let (Some(ordinal), Some(layers)) = (ordinal, layers) else { return Err(error(text)) };
            if map.iter().any(|known| known.ordinal == ordinal) {
                return Err(error(text));
            }
            map.push(DeviceLayerMapMetadata { ordinal, layers });
        }
        Ok(DeviceMapSetting::Map(DeviceMapMetadata::from_num_device_layers(map)))
    }

    pub(super) fn paged_attention(&self, device: &Device) -> Result<Option<PagedAttentionConfig>, SpecError> {
        let PagedAttnConfig { mode, context_len, memory_mb, memory_fraction, block_size, cache_type } =
            &self.options.paged_attn;
        let possible = paged_attn_supported() && !device.is_cpu();
        let wanted = match mode {
            PagedAttnMode::Off => false,
            PagedAttnMode::Auto => possible && device.is_cuda(),
            PagedAttnMode::On if possible => true,
            PagedAttnMode::On => {
                return Err(SpecError {
                    field: "paged_attn.mode",
                    reason: "`on`, but this device has no PagedAttention; it needs a GPU build. Use auto or off".into(),
                });
            }
        };
        if !wanted {
            return Ok(None);
        }
        // A fraction counts what other roles have taken, so the first of three models would take nearly all.
        let memory = match (memory_mb, memory_fraction) {
            (Some(mb), _) => MemoryGpuConfig::MbAmount(*mb),
            (None, Some(fraction)) => MemoryGpuConfig::Utilization(*fraction),
            (None, None) => {
                MemoryGpuConfig::ContextSize(context_len.or(self.options.context_length).unwrap_or(RESERVED_CONTEXT))
            }
        };
        let cache_type: PagedCacheType = parsed("paged_attn.cache_type", cache_type.as_deref())?.unwrap_or_default();
        PagedAttentionConfig::new(*block_size, memory, cache_type)
            .map(Some)
            .map_err(|error| SpecError { field: "paged_attn", reason: error.to_string() })
    }
}

/// Chooses mistral.rs's loader for a role.
// Long because mistral.rs has a variant with its own fields for every kind of file and adapter.
#[allow(clippy::too_many_lines)]
fn select(role: &RoleConfig) -> Result<ModelSelected, SpecError> {
    let missing = |field, reason: &str| SpecError { field, reason: reason.to_owned() };
    let model_id =
        role.model_id.clone().ok_or_else(|| missing("model_id", "a model id or a local directory is needed"))?;
    let arch: Option<NormalLoaderType> = parsed("arch", role.arch.as_deref())?;
    let dtype: ModelDType = parsed("dtype", role.dtype.as_deref())?.unwrap_or_default();
    let organization: Option<IsqOrganization> = parsed("isq_organization", role.isq_organization.as_deref())?;
    let topology = text(role.topology.as_deref());
    let tokenizer_json = text(role.tokenizer.as_deref());
    let max_seq_len = role.max_seq_len.or(role.context_length).unwrap_or(AutoDeviceMapParams::DEFAULT_MAX_SEQ_LEN);
    let max_batch_size = role.max_batch_size.unwrap_or(AutoDeviceMapParams::DEFAULT_MAX_BATCH_SIZE);
    let order = text(role.xlora_order.as_deref()).unwrap_or_default();
    let file = || {
        role.quantized_file
            .clone()
            .ok_or_else(|| missing("quantized_file", "a GGUF or GGML model needs its file name(s)"))
    };
    Ok(match (role.format.unwrap_or(Format::Plain), &role.lora, &role.xlora) {
        (_, Some(_), Some(_)) => return Err(missing("xlora", "lora and xlora exclude each other")),
        // Without an architecture mistral.rs finds the loader from the model's own config.
        (Format::Plain, None, None) if arch.is_none() => ModelSelected::Run {
            model_id,
            tokenizer_json,
            dtype,
            topology,
            organization,
            write_uqff: None,
            from_uqff: role.from_uqff.clone(),
            imatrix: role.imatrix.clone(),
            calibration_file: role.calibration_file.clone(),
            max_edge: None,
            max_seq_len,
            max_batch_size,
            max_num_images: None,
            max_image_length: None,
            hf_cache_path: None,
            matformer_config_path: None,
            matformer_slice_name: None,
        },
        (Format::Plain, None, None) => ModelSelected::Plain {
            model_id,
            tokenizer_json,
            arch,
            dtype,
            topology,
            organization,
            write_uqff: None,
            from_uqff: role.from_uqff.clone(),
            imatrix: role.imatrix.clone(),
            calibration_file: role.calibration_file.clone(),
            max_seq_len,
            max_batch_size,
            hf_cache_path: None,
            matformer_config_path: None,
            matformer_slice_name: None,
        },
        (Format::Plain, Some(lora), None) => ModelSelected::Lora {
            model_id: Some(model_id),
            tokenizer_json,
            adapter_model_id: lora.clone(),
            arch,
            dtype,
            topology,
            write_uqff: None,
            from_uqff: role.from_uqff.clone(),
            max_seq_len,
            max_batch_size,
            hf_cache_path: None,
        },
        (Format::Plain, None, Some(xlora)) => ModelSelected::XLora {
            model_id: Some(model_id),
            tokenizer_json,
            xlora_model_id: xlora.clone(),
            order,
            tgt_non_granular_index: role.tgt_non_granular_index,
            arch,
            dtype,
            topology,
            write_uqff: None,
            from_uqff: role.from_uqff.clone(),
            max_seq_len,
            max_batch_size,
            hf_cache_path: None,
        },
        (Format::Gguf, None, None) => ModelSelected::GGUF {
            tok_model_id: role.tok_model_id.clone(),
            quantized_model_id: model_id,
            quantized_filename: file()?,
            dtype,
            topology,
            max_seq_len,
            max_batch_size,
        },
        (Format::Gguf, Some(lora), None) => ModelSelected::LoraGGUF {
            tok_model_id: role.tok_model_id.clone(),
            quantized_model_id: model_id,
            quantized_filename: file()?,
            adapters_model_id: lora.clone(),
            order,
            dtype,
            topology,
            max_seq_len,
            max_batch_size,
        },
        (Format::Gguf, None, Some(xlora)) => ModelSelected::XLoraGGUF {
            tok_model_id: role.tok_model_id.clone(),
            quantized_model_id: model_id,
            quantized_filename: file()?,
            xlora_model_id: xlora.clone(),
            order,
            tgt_non_granular_index: role.tgt_non_granular_index,
            dtype,
            topology,
            max_seq_len,
            max_batch_size,
        },
        (Format::Ggml, None, None) => ModelSelected::GGML {
            tok_model_id: role.tok_model_id.clone().unwrap_or_else(|| model_id.clone()),
            tokenizer_json,
            quantized_model_id: model_id,
            quantized_filename: file()?,
            gqa: role.gqa.unwrap_or(1),
            dtype,
            topology,
            max_seq_len,
            max_batch_size,
        },
        (Format::Ggml, ..) => {
            return Err(missing("format", "adapters on a GGML file are not supported; convert the file to GGUF"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_a_cpu(format: Format, dtype: Option<&str>) -> ModelDType {
        let role = RoleConfig {
            model_id: Some("folder".to_owned()),
            quantized_file: (format == Format::Gguf).then(|| "file.gguf".into()),
            format: Some(format),
            dtype: dtype.map(ToOwned::to_owned),
            ..RoleConfig::default()
        };
        EngineSpec::from_role(&role).unwrap().dtype(&Device::Cpu).unwrap()
    }

    #[test]
    fn a_quantised_model_on_a_cpu_is_in_f32_unless_asked_otherwise() {
        assert_eq!(on_a_cpu(Format::Gguf, None), ModelDType::F32);
        assert_eq!(on_a_cpu(Format::Gguf, Some("auto")), ModelDType::F32);
        assert_eq!(on_a_cpu(Format::Gguf, Some("f16")), ModelDType::F16);
        assert_eq!(on_a_cpu(Format::Plain, None), ModelDType::Auto);
    }
}
