//! Reads the header of weight files: the tensors' shapes, and the number of a model's parameters.

use std::path::{Path, PathBuf};

use crate::{exposure::WeightFile, gguf::read_header};

/// Number of parameters in these files without input embedding and output matrix. `None` if a file cannot be read.
pub fn count_parameters(files: &[PathBuf]) -> Option<u64> {
    let count = |file: &PathBuf| {
        let shapes = tensor_shapes(file)?;
        let elements =
            |shape: &[usize]| shape.iter().fold(1_u64, |product, length| product.saturating_mul(*length as u64));
        Some(without_embeddings(shapes.iter().map(|(name, shape)| (name.as_str(), elements(shape)))))
    };
    let counts: Option<Vec<u64>> = files.iter().map(count).collect();
    counts.map(|counts| counts.iter().fold(0, |sum: u64, count| sum.saturating_add(*count))).filter(|sum| *sum > 0)
}

/// The names and shapes of the tensors in a GGUF or safetensors file. `None` if it cannot be read.
pub(crate) fn tensor_shapes(path: &Path) -> Option<Vec<(String, Vec<usize>)>> {
    if path.extension().is_some_and(|extension| extension == "gguf") {
        let content = read_header(path).ok()?;
        return Some(content.tensor_infos.into_iter().map(|(name, info)| (name, info.shape.dims().to_vec())).collect());
    }
    let weights = WeightFile::open(path).ok()?;
    weights.names().into_iter().map(|name| Some((name.to_owned(), weights.shape(name)?))).collect()
}

fn without_embeddings<'a>(tensors: impl Iterator<Item = (&'a str, u64)>) -> u64 {
    const EMBEDDINGS: [&str; 4] = ["token_embd.", "output.weight", "embed_tokens.", "lm_head."];
    tensors
        .filter(|(name, _)| !EMBEDDINGS.iter().any(|e| name.starts_with(e) || name.contains(&format!(".{e}"))))
        .map(|(_, elements)| elements)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embeddings_are_left_out_and_attention_outputs_are_not() {
        let tensors = [
            ("token_embd.weight", 100),
            ("output.weight", 100),
            ("blk.0.attn_output.weight", 7),
            ("model.embed_tokens.weight", 100),
            ("lm_head.weight", 100),
            ("model.layers.0.self_attn.q_proj.weight", 5),
        ];
        assert_eq!(without_embeddings(tensors.into_iter()), 12);
    }

    #[test]
    fn a_file_that_is_not_a_model_has_no_count() {
        let file = tempfile::NamedTempFile::with_suffix(".gguf").unwrap();
        assert_eq!(count_parameters(&[file.path().to_owned()]), None);
        assert_eq!(count_parameters(&[]), None);
    }
}
