//! Appends identity rows to the output matrix of a GGUF file, so that the logits end with the hidden state.
//!
//! candle does not check the number of output rows against the vocabulary. The rows of the vocabulary are copied byte
//! for byte, so their logits do not change by a bit. A model with tied embeddings has no output matrix in its file. It
//! gets one, a copy of the embeddings, which is what the loader would make in memory anyway. Of a padded model
//! ([`super::padding`]) the rows give the state without its padding.

use std::path::{Path, PathBuf};

use candle_core::{
    DType, Device, Tensor,
    quantized::{QTensor, gguf_file::Content},
};

use super::{
    append_rows::append_rows,
    padding::state_length,
    rewrite::{GgufRewrite, manifest_of, read_header, rewritten_copy},
};
use crate::{models::ModelError, progress::ProgressReporter};

const OUTPUT: &str = "output.weight";
const EMBEDDINGS: &str = "token_embd.weight";

/// `output.weight [V, H]` becomes `[V + S, H]`, the last S rows being the first S of the identity. S, the length of the
/// state, is H unless the model is padded.
struct AppendStateRows;

impl GgufRewrite for AppendStateRows {
    fn suffix(&self) -> &'static str {
        "states"
    }

    fn version(&self) -> u32 {
        1
    }

    fn task(&self) -> &'static str {
        "adding state rows to"
    }

    fn changes(&self, _: &Content) -> bool {
        true
    }

    fn rewrite(&self, source: &Content, name: &str, tensor: QTensor) -> candle_core::Result<Vec<(String, QTensor)>> {
        let tied = !source.tensor_infos.contains_key(OUTPUT);
        Ok(match name {
            OUTPUT => vec![(OUTPUT.to_owned(), append_identity(source, &tensor)?)],
            EMBEDDINGS if tied => {
                let output = append_identity(source, &tensor)?;
                vec![(EMBEDDINGS.to_owned(), tensor), (OUTPUT.to_owned(), output)]
            }
            _ => vec![(name.to_owned(), tensor)],
        })
    }
}

/// The matrix with the identity below it, in the matrix's own type. Its rows are copied byte for byte.
fn append_identity(source: &Content, matrix: &QTensor) -> candle_core::Result<QTensor> {
    let (_, hidden) = matrix.shape().dims2()?;
    let length = state_length(source, hidden)?;
    append_rows(matrix, &Tensor::eye(length, DType::F32, &Device::Cpu)?.pad_with_zeros(1, 0, hidden - length)?)
}

/// A GGUF whose logits end with the hidden state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExposedGguf {
    pub path: PathBuf,
    /// The last `hidden_size` logits are the state, without the padding of a padded model.
    pub hidden_size: usize,
    /// SHA-256 of the file that it was made from.
    pub source_sha256: String,
}

/// The copy of `source` with identity rows below its output matrix. It is made if necessary and cached beside `source`.
///
/// # Errors
/// The file is not a GGUF of a language model, or the copy cannot be written.
pub fn expose_states(source: &Path, progress: &ProgressReporter) -> Result<ExposedGguf, ModelError> {
    let path = rewritten_copy(source, &AppendStateRows, progress)?;
    let wrong = |reason: &str| ModelError::Gguf { path: path.clone(), reason: reason.to_owned() };
    let header = read_header(&path)?;
    let output =
        header.tensor_infos.get(OUTPUT).ok_or_else(|| wrong("it has neither output.weight nor token_embd.weight"))?;
    let (_, columns) = output.shape.dims2().map_err(|_| wrong("its output.weight is not a matrix"))?;
    let hidden_size = state_length(&header, columns).map_err(|error| wrong(&error.to_string()))?;
    let manifest = manifest_of(&path).ok_or_else(|| wrong("its manifest is missing"))?;
    Ok(ExposedGguf { hidden_size, source_sha256: manifest.source.stamp.sha256, path })
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::GgmlDType;

    use super::*;
    use crate::gguf::test_files::{read_tensor, write_file};

    fn values(tensor: &QTensor) -> Vec<Vec<f32>> {
        tensor.dequantize(&Device::Cpu).unwrap().to_vec2().unwrap()
    }

    fn write(path: &Path, names: &[&str], dtype: GgmlDType) {
        // Values that look random and are the same in every run.
        let values: Vec<f32> = (0..40u16 * 256).map(|n| (f32::from(n) * 12.9898).sin()).collect();
        let matrix = Tensor::from_vec(values, (40, 256), &Device::Cpu).unwrap();
        let tensors: Vec<(&str, QTensor)> =
            names.iter().map(|name| (*name, QTensor::quantize(&matrix, dtype).unwrap())).collect();
        write_file(path, &tensors, &[]);
    }

    #[test]
    fn the_vocabulary_is_copied_byte_for_byte_and_the_identity_follows() {
        for dtype in [GgmlDType::F32, GgmlDType::F16, GgmlDType::Q8_0, GgmlDType::Q4_0, GgmlDType::Q4K, GgmlDType::Q6K]
        {
            let dir = tempfile::tempdir().unwrap();
            let source = dir.path().join("model.gguf");
            write(&source, &[EMBEDDINGS, OUTPUT], dtype);
            let exposed = expose_states(&source, &ProgressReporter::silent()).unwrap();
            assert_eq!(exposed.hidden_size, 256);
            let (before, after) = (read_tensor(&source, OUTPUT), read_tensor(&exposed.path, OUTPUT));
            assert_eq!(after.shape().dims(), [40 + 256, 256]);
            let vocabulary = before.data().unwrap();
            assert_eq!(&after.data().unwrap()[..vocabulary.len()], &vocabulary[..], "{dtype:?}");
            for (i, row) in values(&after)[40..].iter().enumerate() {
                for (j, value) in row.iter().enumerate() {
                    let expected = if i == j { 1.0 } else { 0.0 };
                    assert!((value - expected).abs() < 2e-3, "{dtype:?} row {i} column {j}: {value}");
                }
            }
            assert_eq!(
                read_tensor(&exposed.path, EMBEDDINGS).data().unwrap(),
                read_tensor(&source, EMBEDDINGS).data().unwrap()
            );
        }
    }

    #[test]
    fn tied_embeddings_become_an_output_matrix() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("model.gguf");
        write(&source, &[EMBEDDINGS], GgmlDType::Q8_0);
        let exposed = expose_states(&source, &ProgressReporter::silent()).unwrap();
        let embeddings = read_tensor(&source, EMBEDDINGS).data().unwrap().into_owned();
        assert_eq!(&read_tensor(&exposed.path, OUTPUT).data().unwrap()[..embeddings.len()], &embeddings[..]);
        assert_eq!(read_tensor(&exposed.path, EMBEDDINGS).data().unwrap(), embeddings);
    }

    #[test]
    fn a_file_without_an_output_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("model.gguf");
        write(&source, &["blk.0.attn_q.weight"], GgmlDType::Q8_0);
        let error = expose_states(&source, &ProgressReporter::silent()).unwrap_err().to_string();
        assert!(error.contains("output.weight"), "{error}");
    }
}
