//! Translates a role of the deployment file into mistral.rs's terms: what to load, on which device, with which memory.

use std::{path::Path, str::FromStr};

use candle_core::Device;
use mistralrs_core::{
    AutoDeviceMapParams, DeviceLayerMapMetadata, DeviceMapMetadata, DeviceMapSetting, IsqOrganization, IsqType,
    MemoryGpuConfig, ModelDType, ModelSelected, NormalLoaderType, PagedAttentionConfig, PagedCacheType, TokenSource,
    get_auto_device_map_params, get_model_dtype, paged_attn_supported, parse_isq_value,
};

use rsd_config::{ModelFormat, PagedAttnConfig, PagedAttnMode, RoleConfig};
use rsd_head::state_layout::StateLayout;

/// Tokens for which PagedAttention reserves memory at load time if neither `context_len` nor `context_length` is set.
const RESERVED_CONTEXT: usize = 4096;

/// Everything [`Engine::load`](super::Engine::load) needs to know about a model.
pub struct EngineSpec {
    /// The model, as mistral.rs's loaders take it.
    pub selected: ModelSelected,
    /// How to load and run the model. The fields that say where it comes from are not read here.
    pub options: RoleConfig,
    /// Which part of the output row is the hidden state, for a model that exposes it.
    pub states: StateLayout,
}

/// A field of a role with a value that mistral.rs does not support.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct SpecError {
    /// The name of the field in the deployment file.
    pub field: &'static str,
    /// What is wrong, and what values are allowed.
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
    /// Translates a role. A bundled model must have been replaced by its file before.
    ///
    /// # Errors
    /// A field has a value that mistral.rs does not support.
    pub fn from_role(role: &RoleConfig) -> Result<Self, SpecError> {
        Ok(Self { selected: select(role)?, options: role.clone(), states: StateLayout::NotExposed })
    }

    /// A model that was chosen with a subcommand of mistral.rs, with the options of a role.
    #[must_use]
    pub fn from_selected(selected: ModelSelected, options: RoleConfig) -> Self {
        Self { selected, options, states: StateLayout::NotExposed }
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
        // mistral.rs's own message repeats the input, which may be the secret token itself.
        text.map_or(Ok(TokenSource::CacheToken), |text| {
            text.parse().map_err(|_| SpecError {
                field: "token_source",
                reason: "expected cache, none, env:VAR, path:FILE or literal:TOKEN".to_owned(),
            })
        })
    }

    /// The number format: of attention and its cache for a quantized model, of everything for another model.
    ///
    /// On a CPU mistral.rs resolves `auto` to f16 and converts every number to f32 when it is used. With 2,000 tokens
    /// in the cache this conversion takes over a third of the decode time. So `auto` means f32 here for a quantized
    /// model on a CPU: the cache doubles in size, the weights do not. An unquantized model would double in size, so
    /// its `auto` is left to mistral.rs.
    pub(super) fn dtype(&self, device: &Device) -> Result<ModelDType, SpecError> {
        use ModelSelected::{GGML, GGUF, LoraGGUF, XLoraGGUF};

        let requested =
            get_model_dtype(&self.selected).map_err(|error| SpecError { field: "dtype", reason: error.to_string() })?;
        let quantized = matches!(self.selected, GGUF { .. } | LoraGGUF { .. } | XLoraGGUF { .. } | GGML { .. });
        Ok(match requested {
            ModelDType::Auto if quantized && device.is_cpu() => ModelDType::F32,
            requested => requested,
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
        let enabled = match mode {
            PagedAttnMode::Off => false,
            PagedAttnMode::Auto => possible && device.is_cuda(),
            PagedAttnMode::On if possible => true,
            PagedAttnMode::On => {
                return Err(SpecError {
                    field: "paged_attn.mode",
                    reason:
                        "`on`, but PagedAttention needs a GPU build and a GPU, and this device is none. Use auto or off"
                            .into(),
                });
            }
        };
        if !enabled {
            return Ok(None);
        }
        // mistral.rs applies a fraction to the whole device, memory of other roles included, so the first of three
        // models would reserve nearly everything. Without a setting we reserve for a context length instead.
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
// This function is long because mistral.rs has a variant with fields of its own for every kind of file and adapter.
#[allow(clippy::too_many_lines)]
fn select(role: &RoleConfig) -> Result<ModelSelected, SpecError> {
    let missing = |field, reason: &str| SpecError { field, reason: reason.to_owned() };
    let model_id = role
        .model_id
        .clone()
        .ok_or_else(|| missing("model_id", "missing; set a model id of a hub or a local folder"))?;
    let arch: Option<NormalLoaderType> = parsed("arch", role.arch.as_deref())?;
    let dtype: ModelDType = parsed("dtype", role.dtype.as_deref())?.unwrap_or_default();
    let organization: Option<IsqOrganization> = parsed("isq_organization", role.isq_organization.as_deref())?;
    let topology = text(role.topology.as_deref());
    let tokenizer_json = text(role.tokenizer.as_deref());
    let max_seq_len = role.max_seq_len.or(role.context_length).unwrap_or(AutoDeviceMapParams::DEFAULT_MAX_SEQ_LEN);
    let max_batch_size = role.max_batch_size.unwrap_or(AutoDeviceMapParams::DEFAULT_MAX_BATCH_SIZE);
    let order = text(role.xlora_order.as_deref()).unwrap_or_default();
    let file = || {
        role.quantized_file.clone().ok_or_else(|| {
            missing(
                "quantized_file",
                "missing; a GGUF or GGML model needs the name of its file (several are separated by `;`)",
            )
        })
    };
    Ok(match (role.format.unwrap_or(ModelFormat::Plain), &role.lora, &role.xlora) {
        (_, Some(_), Some(_)) => return Err(missing("xlora", "set together with lora; use one of them")),
        // Without an architecture mistral.rs chooses the loader by the model's config.json.
        (ModelFormat::Plain, None, None) if arch.is_none() => ModelSelected::Run {
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
        (ModelFormat::Plain, None, None) => ModelSelected::Plain {
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
        (ModelFormat::Plain, Some(lora), None) => ModelSelected::Lora {
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
        (ModelFormat::Plain, None, Some(xlora)) => ModelSelected::XLora {
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
        (ModelFormat::Gguf, None, None) => ModelSelected::GGUF {
            tok_model_id: role.tok_model_id.clone(),
            quantized_model_id: model_id,
            quantized_filename: file()?,
            dtype,
            topology,
            max_seq_len,
            max_batch_size,
        },
        (ModelFormat::Gguf, Some(lora), None) => ModelSelected::LoraGGUF {
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
        (ModelFormat::Gguf, None, Some(xlora)) => ModelSelected::XLoraGGUF {
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
        (ModelFormat::Ggml, None, None) => ModelSelected::GGML {
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
        (ModelFormat::Ggml, ..) => {
            return Err(missing("format", "adapters on a GGML file are not supported; convert the file to GGUF"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_a_cpu(format: ModelFormat, dtype: Option<&str>) -> ModelDType {
        let role = RoleConfig {
            model_id: Some("folder".to_owned()),
            quantized_file: (format == ModelFormat::Gguf).then(|| "file.gguf".into()),
            format: Some(format),
            dtype: dtype.map(ToOwned::to_owned),
            ..RoleConfig::default()
        };
        EngineSpec::from_role(&role).unwrap().dtype(&Device::Cpu).unwrap()
    }

    #[test]
    fn a_quantized_model_on_a_cpu_is_in_f32_unless_asked_otherwise() {
        assert_eq!(on_a_cpu(ModelFormat::Gguf, None), ModelDType::F32);
        assert_eq!(on_a_cpu(ModelFormat::Gguf, Some("auto")), ModelDType::F32);
        assert_eq!(on_a_cpu(ModelFormat::Gguf, Some("f16")), ModelDType::F16);
        assert_eq!(on_a_cpu(ModelFormat::Plain, None), ModelDType::Auto);
    }
}
