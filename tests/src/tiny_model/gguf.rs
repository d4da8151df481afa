//! Writes the tiny model as a GGUF file that contains its tokenizer, laid out as llama.cpp's converter does.

use std::{collections::HashMap, fs::File, io::BufWriter, path::Path};

use anyhow::Context;
use candle_core::{
    Tensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Value},
    },
};

use super::{CHAT_TEMPLATE, CONTEXT, INTERMEDIATE, KV_HEADS, LAYERS, SPECIAL, TinyShape, TinyVocabulary};

/// The GGUF name of the checkpoint's tensor `name`.
pub(crate) fn gguf_name(name: &str) -> String {
    let name = match name {
        "model.embed_tokens.weight" => return "token_embd.weight".to_owned(),
        "lm_head.weight" => return "output.weight".to_owned(),
        "model.norm.weight" => return "output_norm.weight".to_owned(),
        other => other.replace("model.layers.", "blk."),
    };
    [
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
    ]
    .iter()
    .fold(name, |name, (from, to)| name.replace(&format!(".{from}."), &format!(".{to}.")))
}

fn number(value: usize) -> Value {
    Value::U32(u32::try_from(value).unwrap_or(u32::MAX))
}

fn metadata(vocabulary: &TinyVocabulary, shape: TinyShape) -> Vec<(&'static str, Value)> {
    let text = |text: &str| Value::String(text.to_owned());
    let id = |token: &str| Value::U32(vocabulary.id(token));
    let tokens = vocabulary.tokens.iter().map(|token| text(token)).collect();
    // Token type 1 is an ordinary token, 3 a control token.
    let kind = |token: &String| Value::I32(if SPECIAL.contains(&token.as_str()) { 3 } else { 1 });
    let merges = vocabulary.merges.iter().map(|(first, second)| text(&format!("{first} {second}"))).collect();
    vec![
        ("general.architecture", text("qwen2")),
        ("general.name", text("tiny")),
        ("qwen2.block_count", number(LAYERS)),
        ("qwen2.context_length", number(CONTEXT)),
        ("qwen2.embedding_length", number(shape.hidden)),
        ("qwen2.feed_forward_length", number(INTERMEDIATE)),
        ("qwen2.attention.head_count", number(shape.heads)),
        ("qwen2.attention.head_count_kv", number(KV_HEADS)),
        ("qwen2.attention.layer_norm_rms_epsilon", Value::F32(1e-6)),
        ("qwen2.rope.freq_base", Value::F32(10_000.0)),
        ("tokenizer.ggml.model", text("gpt2")),
        ("tokenizer.ggml.pre", text("qwen2")),
        ("tokenizer.ggml.tokens", Value::Array(tokens)),
        ("tokenizer.ggml.token_type", Value::Array(vocabulary.tokens.iter().map(kind).collect())),
        ("tokenizer.ggml.merges", Value::Array(merges)),
        // Only one end token, as in published files.
        ("tokenizer.ggml.eos_token_id", id("<|im_end|>")),
        ("tokenizer.ggml.padding_token_id", id("<|endoftext|>")),
        ("tokenizer.chat_template", text(CHAT_TEMPLATE)),
    ]
}

/// Writes the metadata, the tokenizer and the weights, each in the type that `dtype` gives for its name in the file.
pub(super) fn write(
    path: &Path,
    vocabulary: &TinyVocabulary,
    shape: TinyShape,
    weights: &HashMap<String, Tensor>,
    dtype: impl Fn(&str) -> GgmlDType,
) -> anyhow::Result<()> {
    let mut tensors = Vec::new();
    for (name, tensor) in weights {
        let name = gguf_name(name);
        let tensor = QTensor::quantize(tensor, dtype(&name))?;
        tensors.push((name, tensor));
    }
    tensors.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let metadata = metadata(vocabulary, shape);
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    gguf_file::write(&mut BufWriter::new(file), &metadata, &tensors).context("writing the GGUF file")
}
