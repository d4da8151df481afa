//! Turns the Q5_0 and Q5_1 tensors of a GGUF file into Q8_0, for which the CPU kernels are fast.

use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::gguf_file::Content;
use candle_core::quantized::{GgmlDType, QTensor};

use super::derive::{Rewrite, derived, verify};
use super::error::ModelError;
use super::progress::Progress;

struct Requantise;

impl Rewrite for Requantise {
    fn suffix(&self) -> &'static str {
        "q8_0"
    }

    fn version(&self) -> u32 {
        1
    }

    fn task(&self) -> &'static str {
        "requantising to Q8_0"
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

fn is_slow(dtype: GgmlDType) -> bool {
    matches!(dtype, GgmlDType::Q5_0 | GgmlDType::Q5_1)
}

/// The path of a file with the content of `source` and no `Q5_0` or `Q5_1` tensor: `source` itself if it has none.
pub fn requantized(source: &Path, progress: &dyn Progress) -> Result<PathBuf, ModelError> {
    derived(source, &Requantise, progress)
}

/// Hashes the requantised copy of `source` again: its path if it is as it was written, `None` if there is none.
pub fn verify_requantized(source: &Path, progress: &dyn Progress) -> Result<Option<PathBuf>, ModelError> {
    verify(source, Requantise.suffix(), progress)
}
