//! How many parameters a model has without its embeddings: the N of "about 2 N FLOPs per token".

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use candle_core::quantized::gguf_file;
use mistralrs_core::ModelSelected;

/// Longest safetensors header that is read, as in the format's own library.
const HEADER_LIMIT: u64 = 100_000_000;

/// The weight files of a model that lies in a local folder; empty for a model on a hub.
pub(super) fn local_files(selected: &ModelSelected) -> Vec<PathBuf> {
    match selected {
        ModelSelected::GGUF { quantized_model_id, quantized_filename, .. } => {
            quantized_filename.split([';', ' ']).map(|file| Path::new(quantized_model_id).join(file)).collect()
        }
        ModelSelected::Plain { model_id, .. } | ModelSelected::Run { model_id, .. } => {
            let Ok(entries) = std::fs::read_dir(model_id) else { return Vec::new() };
            let paths = entries.flatten().map(|entry| entry.path());
            paths.filter(|path| path.extension().is_some_and(|e| e == "safetensors")).collect()
        }
        _ => Vec::new(),
    }
}

/// Parameters in these files, input embedding and output matrix left out; `None` where no file can be read.
pub(super) fn count(files: &[PathBuf]) -> Option<u64> {
    let count = |file: &PathBuf| {
        let shapes = shapes(file)?;
        let elements = |shape: &[usize]| shape.iter().product::<usize>() as u64;
        Some(without_embeddings(shapes.iter().map(|(name, shape)| (name.as_str(), elements(shape)))))
    };
    let counts: Option<Vec<u64>> = files.iter().map(count).collect();
    counts.map(|counts| counts.iter().sum()).filter(|sum| *sum > 0)
}

/// The tensors of a GGUF or safetensors file with their shapes; `None` where it cannot be read.
pub(super) fn shapes(path: &Path) -> Option<Vec<(String, Vec<usize>)>> {
    let mut file = File::open(path).ok()?;
    if path.extension().is_some_and(|extension| extension == "gguf") {
        let content = gguf_file::Content::read(&mut file).ok()?;
        return Some(content.tensor_infos.into_iter().map(|(name, info)| (name, info.shape.dims().to_vec())).collect());
    }
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let length = u64::from_le_bytes(length);
    if length > HEADER_LIMIT {
        return None;
    }
    let header: serde_json::Value = serde_json::from_reader(file.take(length)).ok()?;
    let tensors = header.as_object()?.iter().filter_map(|(name, tensor)| {
        let shape = tensor.get("shape")?.as_array()?;
        let shape = shape.iter().map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok())).collect::<Option<_>>()?;
        Some((name.clone(), shape))
    });
    Some(tensors.collect())
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
    fn a_file_that_is_no_model_counts_nothing() {
        let file = tempfile::NamedTempFile::with_suffix(".gguf").unwrap();
        assert_eq!(count(&[file.path().to_owned()]), None);
        assert_eq!(count(&[]), None);
    }
}
