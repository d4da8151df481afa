//! Converts the tensors of a GGUF file to types for which candle's CPU kernels are fast.

use std::path::{Path, PathBuf};

use candle_core::{
    Device,
    quantized::{GgmlDType, QTensor, gguf_file::Content},
};

use super::{
    cpu_types::is_slow,
    padding::PadToBlocks,
    rewrite::{GgufRewrite, fresh_copy, read_header, rewritten_copy, verify_copy},
};
use crate::{models::ModelError, progress::ProgressReporter};

/// Converts `Q5_0` and `Q5_1` tensors to `Q8_0`.
struct RequantizeSlowTypes;

impl GgufRewrite for RequantizeSlowTypes {
    fn suffix(&self) -> &'static str {
        "q8_0"
    }

    fn version(&self) -> u32 {
        1
    }

    fn task(&self) -> &'static str {
        "requantizing to Q8_0"
    }

    fn changes(&self, source: &Content) -> bool {
        source.tensor_infos.values().any(|info| is_slow(info.ggml_dtype))
    }

    fn rewrite(&self, _: &Content, name: &str, tensor: QTensor) -> candle_core::Result<Vec<(String, QTensor)>> {
        let tensor = if is_slow(tensor.dtype()) {
            QTensor::quantize(&tensor.dequantize(&Device::Cpu)?, GgmlDType::Q8_0)?
        } else {
            tensor
        };
        Ok(vec![(name.to_owned(), tensor)])
    }
}

/// The path of a file with the content of `source` in types that are fast on a CPU: `source` itself if its types are,
/// else the copy, which is made if necessary. A model whose rows do not fit K-quants is padded if it can be, and `Q5_0`
/// and `Q5_1` tensors become `Q8_0` otherwise.
pub fn requantized(source: &Path, progress: &ProgressReporter) -> Result<PathBuf, ModelError> {
    // Reading the header of a large vocabulary takes a while.
    if let Some(copy) = fresh_copy(source, PadToBlocks::SUFFIX, PadToBlocks::VERSION) {
        return Ok(copy);
    }
    match PadToBlocks::new(&read_header(source)?) {
        Some(padding) => rewritten_copy(source, &padding, progress),
        None => rewritten_copy(source, &RequantizeSlowTypes, progress),
    }
}

/// Hashes the requantized copy of `source` again. `None` if there is no copy.
///
/// # Errors
/// The copy is not as it was written.
pub fn verify_requantized(source: &Path, progress: &ProgressReporter) -> Result<Option<PathBuf>, ModelError> {
    match verify_copy(source, PadToBlocks::SUFFIX, progress)? {
        Some(copy) => Ok(Some(copy)),
        None => verify_copy(source, RequantizeSlowTypes.suffix(), progress),
    }
}
