//! The options that describe the target model, with the names of `mistralrs serve`, and the role that they describe.

use std::path::PathBuf;

use clap::Args;
use mistralrs_core::{IsqOrganization, ModelDType, NormalLoaderType, PagedCacheType};

use super::FlagError;
use super::unsupported::UnsupportedModelOptions;
use crate::cli::values;
use rsd_config::{ModelFormat, PagedAttnConfig, PagedAttnMode, RoleConfig};

/// The source, format, adapters, quantization, device and cache of one model.
///
/// Every field is optional, so that a given option can be distinguished from a default.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ModelOptions {
    /// Hugging Face model id or local folder of the target; replaces roles.target of the deployment file
    #[arg(short = 'm', long, help_heading = "Target model")]
    pub(super) model_id: Option<String>,
    /// Local tokenizer.json
    #[arg(short = 't', long, help_heading = "Target model")]
    tokenizer: Option<PathBuf>,
    /// Architecture, if it is not detected
    #[arg(short = 'a', long, value_parser = arch, help_heading = "Target model")]
    arch: Option<String>,
    /// Data type: auto, bf16, f16, f32. Default: auto
    #[arg(long, value_parser = dtype, help_heading = "Target model")]
    dtype: Option<String>,
    /// File format; detected if left out
    #[arg(long, value_enum, help_heading = "Target model")]
    pub(super) format: Option<ModelFormat>,
    /// GGUF or GGML file names, separated by semicolons
    #[arg(short = 'f', long, help_heading = "Target model")]
    pub(super) quantized_file: Option<String>,
    /// Model whose tokenizer a GGUF or GGML file uses
    #[arg(long, help_heading = "Target model")]
    tok_model_id: Option<String>,
    /// Grouped-query factor of a GGML file. Default: 1
    #[arg(long, help_heading = "Target model")]
    gqa: Option<usize>,

    /// LoRA adapter model ids, separated by semicolons
    #[arg(long, help_heading = "Adapters")]
    pub(super) lora: Option<String>,
    /// X-LoRA adapter model id
    #[arg(long, conflicts_with = "lora", help_heading = "Adapters")]
    pub(super) xlora: Option<String>,
    /// X-LoRA ordering file
    #[arg(long, requires = "xlora", help_heading = "Adapters")]
    pub(super) xlora_order: Option<PathBuf>,
    /// Target non-granular index of X-LoRA
    #[arg(long, requires = "xlora", help_heading = "Adapters")]
    tgt_non_granular_index: Option<usize>,

    /// In-situ quantization: 2 to 8, or a type such as q4k
    #[arg(long, help_heading = "Quantization")]
    isq: Option<String>,
    /// UQFF files to load, separated by semicolons, or 2 to 8 to find the file
    #[arg(long, help_heading = "Quantization")]
    from_uqff: Option<String>,
    /// Organization of in-situ quantization: default or moqe
    #[arg(long, value_parser = isq_organization, help_heading = "Quantization")]
    isq_organization: Option<String>,
    /// imatrix file for in-situ quantization
    #[arg(long, help_heading = "Quantization")]
    imatrix: Option<PathBuf>,
    /// Calibration file from which an imatrix is made
    #[arg(long, conflicts_with = "imatrix", help_heading = "Quantization")]
    calibration_file: Option<PathBuf>,

    /// Force the CPU
    #[arg(long, help_heading = "Device")]
    cpu: bool,
    /// Layers per device, ORD:NUM;... such as 0:10;1:20; automatic if left out
    #[arg(short = 'n', long, value_delimiter = ';', help_heading = "Device")]
    device_layers: Option<Vec<String>>,
    /// Topology file
    #[arg(long, help_heading = "Device")]
    topology: Option<PathBuf>,
    /// Longest prompt that automatic device mapping plans for. Default: 4096
    #[arg(long, help_heading = "Device")]
    max_seq_len: Option<usize>,
    /// Largest batch that automatic device mapping plans for. Default: 1
    #[arg(long, help_heading = "Device")]
    max_batch_size: Option<usize>,

    /// PagedAttention: auto is on for CUDA and off elsewhere. Default: auto
    #[arg(long, value_enum, help_heading = "PagedAttention")]
    pub(super) paged_attn: Option<PagedAttnMode>,
    /// Reserve cache memory for this many tokens
    #[arg(long, help_heading = "PagedAttention")]
    pa_context_len: Option<usize>,
    /// Reserve this many megabytes instead
    #[arg(long, conflicts_with = "pa_context_len", help_heading = "PagedAttention")]
    pa_memory_mb: Option<usize>,
    /// Reserve this fraction (0 to 1) of the device instead, the memory of other roles included
    #[arg(long, value_parser = memory_fraction, conflicts_with_all = ["pa_context_len", "pa_memory_mb"],
          help_heading = "PagedAttention")]
    pa_memory_fraction: Option<f32>,
    /// Tokens per block: 8, 16 or 32
    #[arg(long, help_heading = "PagedAttention")]
    pa_block_size: Option<usize>,
    /// Cache data type: auto or f8e4m3. Default: auto
    #[arg(long, value_parser = cache_type, help_heading = "PagedAttention")]
    pa_cache_type: Option<String>,

    #[command(flatten)]
    pub(super) unsupported: UnsupportedModelOptions,
}

/// An option that was given, and the key of a role with the same meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GivenOption {
    /// The option.
    pub(super) flag: &'static str,
    /// The key inside `roles.target`.
    pub(super) key: &'static str,
}

impl ModelOptions {
    /// The options that were given, in the order of `--help`.
    pub(super) fn given_options(&self) -> Vec<GivenOption> {
        [
            ("--model-id", "model_id", self.model_id.is_some()),
            ("--tokenizer", "tokenizer", self.tokenizer.is_some()),
            ("--arch", "arch", self.arch.is_some()),
            ("--dtype", "dtype", self.dtype.is_some()),
            ("--format", "format", self.format.is_some()),
            ("--quantized-file", "quantized_file", self.quantized_file.is_some()),
            ("--tok-model-id", "tok_model_id", self.tok_model_id.is_some()),
            ("--gqa", "gqa", self.gqa.is_some()),
            ("--lora", "lora", self.lora.is_some()),
            ("--xlora", "xlora", self.xlora.is_some()),
            ("--xlora-order", "xlora_order", self.xlora_order.is_some()),
            ("--tgt-non-granular-index", "tgt_non_granular_index", self.tgt_non_granular_index.is_some()),
            ("--isq", "isq", self.isq.is_some()),
            ("--from-uqff", "from_uqff", self.from_uqff.is_some()),
            ("--isq-organization", "isq_organization", self.isq_organization.is_some()),
            ("--imatrix", "imatrix", self.imatrix.is_some()),
            ("--calibration-file", "calibration_file", self.calibration_file.is_some()),
            ("--cpu", "cpu", self.cpu),
            ("--device-layers", "device_layers", self.device_layers.is_some()),
            ("--topology", "topology", self.topology.is_some()),
            ("--max-seq-len", "max_seq_len", self.max_seq_len.is_some()),
            ("--max-batch-size", "max_batch_size", self.max_batch_size.is_some()),
            ("--paged-attn", "paged_attn.mode", self.paged_attn.is_some()),
            ("--pa-context-len", "paged_attn.context_len", self.pa_context_len.is_some()),
            ("--pa-memory-mb", "paged_attn.memory_mb", self.pa_memory_mb.is_some()),
            ("--pa-memory-fraction", "paged_attn.memory_fraction", self.pa_memory_fraction.is_some()),
            ("--pa-block-size", "paged_attn.block_size", self.pa_block_size.is_some()),
            ("--pa-cache-type", "paged_attn.cache_type", self.pa_cache_type.is_some()),
        ]
        .into_iter()
        .filter(|(_, _, given)| *given)
        .map(|(flag, key, _)| GivenOption { flag, key })
        .collect()
    }

    /// The role that these options describe.
    pub(super) fn role(&self) -> RoleConfig {
        RoleConfig {
            model_id: self.model_id.clone(),
            tokenizer: self.tokenizer.clone(),
            arch: self.arch.clone(),
            dtype: self.dtype.clone(),
            format: self.format,
            quantized_file: self.quantized_file.clone(),
            tok_model_id: self.tok_model_id.clone(),
            gqa: self.gqa,
            lora: self.lora.clone(),
            xlora: self.xlora.clone(),
            xlora_order: self.xlora_order.clone(),
            tgt_non_granular_index: self.tgt_non_granular_index,
            isq: self.isq.clone(),
            from_uqff: self.from_uqff.clone(),
            isq_organization: self.isq_organization.clone(),
            imatrix: self.imatrix.clone(),
            calibration_file: self.calibration_file.clone(),
            cpu: self.cpu,
            device_layers: self.device_layers.clone(),
            topology: self.topology.clone(),
            max_seq_len: self.max_seq_len,
            max_batch_size: self.max_batch_size,
            paged_attn: PagedAttnConfig {
                mode: self.paged_attn.unwrap_or_default(),
                context_len: self.pa_context_len,
                memory_mb: self.pa_memory_mb,
                memory_fraction: self.pa_memory_fraction,
                block_size: self.pa_block_size,
                cache_type: self.pa_cache_type.clone(),
            },
            ..RoleConfig::default()
        }
    }

    /// Fails on the first given option that `allowed` does not allow before `subcommand`.
    pub(super) fn check_before(
        &self,
        subcommand: &'static str,
        allowed: impl Fn(&GivenOption) -> bool,
    ) -> Result<(), FlagError> {
        match self.given_options().into_iter().find(|given| !allowed(given)) {
            Some(given) => Err(FlagError::Misplaced { flag: given.flag, subcommand }),
            None => Ok(()),
        }
    }
}

fn arch(text: &str) -> Result<String, String> {
    text.parse::<NormalLoaderType>().map(|arch| arch.to_string())
}

fn dtype(text: &str) -> Result<String, String> {
    text.parse::<ModelDType>().map(|dtype| dtype.to_string())
}

fn isq_organization(text: &str) -> Result<String, String> {
    text.parse::<IsqOrganization>().map(|_| text.to_owned())
}

fn cache_type(text: &str) -> Result<String, String> {
    text.parse::<PagedCacheType>().map(|_| text.to_owned())
}

#[allow(clippy::cast_possible_truncation, reason = "mistral.rs takes an f32")]
fn memory_fraction(text: &str) -> Result<f32, String> {
    values::fraction(text).map(|fraction| fraction as f32)
}
