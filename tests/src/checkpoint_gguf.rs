//! Converts a checkpoint folder to a GGUF file laid out as llama.cpp's converter does, which omits the reward head.

use std::{collections::HashMap, fs, fs::File, io::BufWriter, path::Path};

use anyhow::Context;
use candle_core::{
    DType, Device, Tensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Value},
    },
};
use serde_json::Value as Json;

use crate::tiny_model::gguf::gguf_name;

/// Writes the model of `folder` to the file `to`, with its matrices quantized to `dtype`.
///
/// # Errors
/// The folder holds no Qwen2, Llama or Mistral checkpoint with a BPE tokenizer, or the file cannot be written.
pub fn write(folder: &Path, to: &Path, dtype: GgmlDType) -> anyhow::Result<()> {
    let config: Json = serde_json::from_slice(&fs::read(folder.join("config.json"))?)?;
    let kind = config["model_type"].as_str().context("no model_type")?;
    // llama.cpp calls Mistral's architecture llama.
    let architecture = if kind == "mistral" { "llama" } else { kind };
    let number = |field: &str| config[field].as_u64().and_then(|n| usize::try_from(n).ok()).context(field.to_owned());
    let (heads, kv_heads) = (number("num_attention_heads")?, number("num_key_value_heads")?);
    let mut tensors = Vec::new();
    for (name, tensor) in weights(folder)? {
        // Every other tensor belongs to the reward head.
        if !name.starts_with("model.") && name != "lm_head.weight" {
            continue;
        }
        let tensor = tensor.to_dtype(DType::F32)?;
        let tensor = match (architecture, name.rsplit('.').nth(1)) {
            ("llama", Some("q_proj")) => interleave_halves(&tensor, heads)?,
            ("llama", Some("k_proj")) => interleave_halves(&tensor, kv_heads)?,
            _ => tensor,
        };
        let dtype = if tensor.rank() == 1 { GgmlDType::F32 } else { dtype };
        tensors.push((gguf_name(&name), QTensor::quantize(&tensor, dtype)?));
    }
    tensors.sort_unstable_by(|a, b| a.0.cmp(&b.0));

    let u32 = |n: usize| u32::try_from(n).map(Value::U32);
    let hidden = number("hidden_size")?;
    let field = |name: &str| format!("{architecture}.{name}");
    let float = |name: &str| config[name].as_f64().context(name.to_owned());
    let mut metadata = vec![
        ("general.architecture".to_owned(), text(architecture)),
        (field("block_count"), u32(number("num_hidden_layers")?)?),
        (field("context_length"), u32(number("max_position_embeddings")?)?),
        (field("embedding_length"), u32(hidden)?),
        (field("feed_forward_length"), u32(number("intermediate_size")?)?),
        (field("attention.head_count"), u32(heads)?),
        (field("attention.head_count_kv"), u32(kv_heads)?),
        (field("rope.dimension_count"), u32(hidden / heads)?),
        (field("attention.layer_norm_rms_epsilon"), Value::F32(float("rms_norm_eps")? as f32)),
        (field("rope.freq_base"), Value::F32(float("rope_theta")? as f32)),
    ];
    metadata.extend(tokenizer(folder)?);
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let file = File::create(to).with_context(|| format!("creating {}", to.display()))?;
    gguf_file::write(&mut BufWriter::new(file), &metadata, &tensors).context("writing the GGUF file")
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn weights(folder: &Path) -> anyhow::Result<HashMap<String, Tensor>> {
    let mut all = HashMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors") => all.extend(candle_core::safetensors::load(&path, &Device::Cpu)?),
            Some("bin") => all.extend(candle_core::pickle::read_all(&path)?),
            _ => {}
        }
    }
    Ok(all)
}

/// The rows of a query or key matrix in the order of llama.cpp's rotary embedding, which rotates neighboring numbers
/// as a pair; the checkpoint pairs each number of the first half with one of the second.
fn interleave_halves(matrix: &Tensor, heads: usize) -> anyhow::Result<Tensor> {
    let (rows, columns) = matrix.dims2()?;
    let halves = matrix.reshape((heads, 2, rows / heads / 2, columns))?;
    Ok(halves.transpose(1, 2)?.contiguous()?.reshape((rows, columns))?)
}

fn tokenizer(folder: &Path) -> anyhow::Result<Vec<(String, Value)>> {
    let file: Json = serde_json::from_slice(&fs::read(folder.join("tokenizer.json"))?)?;
    let mut tokens: Vec<(u64, String, i32)> = Vec::new();
    for (token, id) in file["model"]["vocab"].as_object().context("no vocabulary")? {
        tokens.push((id.as_u64().context("an id")?, token.clone(), 1));
    }
    // Token type 3 is a control token.
    for token in file["added_tokens"].as_array().into_iter().flatten() {
        let id = token["id"].as_u64().context("an id")?;
        tokens.retain(|(known, ..)| *known != id);
        tokens.push((id, token["content"].as_str().context("a token")?.to_owned(), 3));
    }
    tokens.sort_unstable();
    let settings: Json = serde_json::from_slice(&fs::read(folder.join("tokenizer_config.json"))?)?;
    let eos = settings["eos_token"].as_str().context("no end token")?;
    let eos = tokens.iter().find(|(_, token, _)| token == eos).context("no end token")?.0;
    let merge = |merge: &Json| match merge {
        Json::String(merge) => text(merge),
        pair => text(&format!("{} {}", pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default())),
    };
    let merges = file["model"]["merges"].as_array().context("no merges")?.iter().map(merge).collect();
    let sentence_piece = file["model"]["byte_fallback"] == true;
    let mut metadata = vec![
        ("tokenizer.ggml.model", text(if sentence_piece { "llama" } else { "gpt2" })),
        ("tokenizer.ggml.token_type", Value::Array(tokens.iter().map(|(.., kind)| Value::I32(*kind)).collect())),
        ("tokenizer.ggml.eos_token_id", Value::U32(u32::try_from(eos)?)),
    ];
    if sentence_piece {
        let scores = tokens.iter().map(|(id, ..)| Value::F32(-(*id as f32)));
        metadata.push(("tokenizer.ggml.scores", Value::Array(scores.collect())));
    } else {
        metadata.push(("tokenizer.ggml.merges", Value::Array(merges)));
    }
    metadata.push(("tokenizer.ggml.tokens", Value::Array(tokens.iter().map(|(_, token, _)| text(token)).collect())));
    Ok(metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}
