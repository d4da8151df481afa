//! Options that mistral.rs reads for one file format and overlooks, or fails on, for another.
//!
//! `mistralrs serve` lets most of these pass without a word; here they are refused, so that no option is ignored.

use super::FlagError;
use super::model::{Given, ModelOptions};
use crate::config::{Format, PagedAttnMode};

const SAFETENSORS_ONLY: &[&str] =
    &["--arch", "--isq", "--from-uqff", "--isq-organization", "--imatrix", "--calibration-file"];
const NOT_WITH_ADAPTERS: &[&str] = &["--isq-organization", "--imatrix", "--calibration-file"];
const QUANTIZED_ONLY: &[&str] = &["--quantized-file", "--tok-model-id"];

/// The format of the model, if it is known from the options, once they fit together.
pub(super) fn check(options: &ModelOptions) -> Result<Option<Format>, FlagError> {
    let format = format(options)?;
    let known = format.unwrap_or(Format::Plain);
    if known != Format::Plain && options.quantized_file.is_none() {
        return Err(FlagError::MissingFile { format: name(known) });
    }
    check_given(&options.given(), options.paged_attn, known)?;
    check_adapters(options, known)?;
    Ok(format)
}

/// Refuses options that do nothing for this format, or that another option switches off.
pub(super) fn check_given(given: &[Given], paged_attn: Option<PagedAttnMode>, format: Format) -> Result<(), FlagError> {
    for Given { flag, .. } in given {
        if let Some(instead) = no_effect(flag, format) {
            return Err(FlagError::NoEffect { flag, format: name(format), instead });
        }
        if paged_attn == Some(PagedAttnMode::Off) && flag.starts_with("--pa-") {
            return Err(FlagError::Unloadable {
                flag,
                reason: "it sizes PagedAttention, which --paged-attn off switches off. Leave one of them out",
            });
        }
    }
    Ok(())
}

fn format(options: &ModelOptions) -> Result<Option<Format>, FlagError> {
    match (&options.quantized_file, options.format) {
        (Some(files), None) => {
            let gguf = files.split(';').all(|file| file.trim_end().to_ascii_lowercase().ends_with(".gguf"));
            if gguf { Ok(Some(Format::Gguf)) } else { Err(FlagError::UnknownFormat { file: files.clone() }) }
        }
        (_, format) => Ok(format),
    }
}

fn no_effect(flag: &str, format: Format) -> Option<&'static str> {
    match (flag, format) {
        ("--tokenizer", Format::Gguf) => Some("Name the model or folder that holds the tokenizer with --tok-model-id"),
        ("--gqa", Format::Plain | Format::Gguf) => Some("It is for --format ggml"),
        _ if format == Format::Plain && QUANTIZED_ONLY.contains(&flag) => Some("It is for --format gguf and ggml"),
        _ if format != Format::Plain && SAFETENSORS_ONLY.contains(&flag) => {
            Some("Its architecture and quantisation come from the file; leave the option out")
        }
        _ => None,
    }
}

fn check_adapters(options: &ModelOptions, format: Format) -> Result<(), FlagError> {
    if options.lora.is_some() && format != Format::Plain {
        return Err(FlagError::Unloadable {
            flag: "--lora",
            reason: "adapters on a GGUF or GGML file need an ordering file, which mistral.rs has no option for here. \
                     Use the subcommand lora-gguf or lora-ggml with --order",
        });
    }
    if options.lora.is_some() || options.xlora.is_some() {
        if let Some(given) = options.given().iter().find(|given| NOT_WITH_ADAPTERS.contains(&given.flag)) {
            return Err(FlagError::Unloadable {
                flag: given.flag,
                reason: "mistral.rs does not read it for a model with adapters (--lora, --xlora). Leave it out",
            });
        }
    }
    if options.xlora.is_some() && options.xlora_order.is_none() {
        return Err(FlagError::Unloadable {
            flag: "--xlora",
            reason: "X-LoRA needs an ordering file. Add --xlora-order FILE",
        });
    }
    Ok(())
}

fn name(format: Format) -> &'static str {
    match format {
        Format::Plain => "plain",
        Format::Gguf => "gguf",
        Format::Ggml => "ggml",
    }
}
