//! Tiny random checkpoints: real files that the real engine loads in milliseconds and decodes at microseconds per
//! token.
//!
//! The weights are a function of the seed, so two models of one seed are equal. Their text is noise, but each token
//! depends on all tokens before it, so a single wrong key or value in a cache changes the text.

pub(crate) mod gguf;

use std::{collections::HashMap, fs, path::Path};

use anyhow::Context;
use candle_core::{Device, Tensor, quantized::GgmlDType};
use mistralrs_rsd::engine::EngineSpec;
use rsd_config::{ModelFormat, RoleConfig};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// Context length in tokens.
pub const CONTEXT: usize = 2048;

const LAYERS: usize = 2;
/// Size of the hidden state.
pub const HIDDEN: usize = 64;
/// Size of the hidden state of [`TinyModel::gguf_with_unaligned_rows`].
pub const UNALIGNED_HIDDEN: usize = 448;
const KV_HEADS: usize = 2;
const INTERMEDIATE: usize = 128;

/// What differs between the tiny models.
#[derive(Debug, Clone, Copy)]
struct TinyShape {
    hidden: usize,
    heads: usize,
}

const SMALL: TinyShape = TinyShape { hidden: HIDDEN, heads: 4 };
/// Rows of 7/8 of whole blocks of 256 and 7 heads for each key-value head, as in the Qwen2.5 models of 0.5B.
const UNALIGNED: TinyShape = TinyShape { hidden: UNALIGNED_HIDDEN, heads: 14 };

const GGUF_FILE: &str = "tiny.gguf";

const SPECIAL: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

/// Qwen2's word pattern. mistral.rs uses the same one for the tokenizer of a GGUF of this architecture.
const QWEN2_WORDS: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

const CHAT_TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// A checkpoint in a temporary folder that is removed when this value is dropped.
#[derive(Debug)]
pub struct TinyModel {
    dir: TempDir,
    vocabulary: TinyVocabulary,
    format: ModelFormat,
}

impl TinyModel {
    /// Writes a Qwen2 checkpoint in safetensors.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn qwen2(seed: u64) -> anyhow::Result<Self> {
        let vocabulary = TinyVocabulary::new();
        let dir = tempfile::tempdir().context("a folder for the tiny model")?;
        let write = |name: &str, value: &Value| {
            fs::write(dir.path().join(name), value.to_string()).with_context(|| format!("writing {name}"))
        };
        write("config.json", &config(vocabulary.len()))?;
        write("tokenizer.json", &vocabulary.tokenizer())?;
        write("tokenizer_config.json", &tokenizer_config(&vocabulary))?;
        write(
            "generation_config.json",
            &json!({ "eos_token_id": [vocabulary.id("<|im_end|>"), vocabulary.id("<|endoftext|>")] }),
        )?;
        let weights = weights(vocabulary.len(), SMALL, seed)?;
        candle_core::safetensors::save(&weights, dir.path().join("model.safetensors")).context("model.safetensors")?;
        Ok(Self { dir, vocabulary, format: ModelFormat::Plain })
    }

    /// Writes the model of [`Self::qwen2`] as one GGUF file that contains its tokenizer.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn gguf(seed: u64) -> anyhow::Result<Self> {
        let vocabulary = TinyVocabulary::new();
        let dir = tempfile::tempdir().context("a folder for the tiny model")?;
        let weights = weights(vocabulary.len(), SMALL, seed)?;
        gguf::write(&dir.path().join(GGUF_FILE), &vocabulary, SMALL, &weights, |_| GgmlDType::F32)?;
        Ok(Self { dir, vocabulary, format: ModelFormat::Gguf })
    }

    /// Writes a GGUF file of a model with rows of [`UNALIGNED_HIDDEN`] numbers, which do not fit the blocks of K-quants. One
    /// matrix is in `Q8_0`. It is zero, so that it remains the same in every type.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn gguf_with_unaligned_rows(seed: u64) -> anyhow::Result<Self> {
        let vocabulary = TinyVocabulary::new();
        let dir = tempfile::tempdir().context("a folder for the tiny model")?;
        let mut weights = weights(vocabulary.len(), UNALIGNED, seed)?;
        let zero = weights.get_mut("model.layers.0.self_attn.v_proj.weight").context("no v_proj")?;
        *zero = zero.zeros_like()?;
        let dtype = |name: &str| if name == "blk.0.attn_v.weight" { GgmlDType::Q8_0 } else { GgmlDType::F32 };
        gguf::write(&dir.path().join(GGUF_FILE), &vocabulary, UNALIGNED, &weights, dtype)?;
        Ok(Self { dir, vocabulary, format: ModelFormat::Gguf })
    }

    /// Writes a GGUF file in which the output row of each of `tokens` is multiplied by its factor, so that the model
    /// prefers these tokens.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn gguf_preferring(seed: u64, tokens: &[(&str, f32)]) -> anyhow::Result<Self> {
        let vocabulary = TinyVocabulary::new();
        let dir = tempfile::tempdir().context("a folder for the tiny model")?;
        let mut weights = weights(vocabulary.len(), SMALL, seed)?;
        let head = weights.get_mut("lm_head.weight").context("no lm_head")?;
        let mut gains = vec![1.0; vocabulary.len()];
        for (token, gain) in tokens {
            gains[vocabulary.id(token) as usize] = *gain;
        }
        *head = head.broadcast_mul(&Tensor::from_vec(gains, (vocabulary.len(), 1), &Device::Cpu)?)?;
        gguf::write(&dir.path().join(GGUF_FILE), &vocabulary, SMALL, &weights, |_| GgmlDType::F32)?;
        Ok(Self { dir, vocabulary, format: ModelFormat::Gguf })
    }

    /// The checkpoint's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The model as a role of a deployment file: on the CPU, in f32.
    #[must_use]
    pub fn role(&self) -> RoleConfig {
        let plain = self.format == ModelFormat::Plain;
        RoleConfig {
            model_id: Some(self.path().to_string_lossy().into_owned()),
            format: Some(self.format),
            arch: plain.then(|| "qwen2".to_owned()),
            quantized_file: (!plain).then(|| GGUF_FILE.to_owned()),
            dtype: Some("f32".to_owned()),
            token_source: Some("none".into()),
            cpu: true,
            ..RoleConfig::default()
        }
    }

    /// The description from which an engine loads the model.
    ///
    /// # Errors
    /// None are possible for a role that [`Self::role`] returns.
    pub fn spec(&self) -> anyhow::Result<EngineSpec> {
        Ok(EngineSpec::from_role(&self.role())?)
    }

    /// The id of the token whose plain text is `text`.
    ///
    /// # Panics
    /// The vocabulary has no such token.
    #[must_use]
    pub fn token(&self, text: &str) -> u32 {
        self.vocabulary.id(text)
    }

    /// Every token whose text contains `part`.
    #[must_use]
    pub fn tokens_with(&self, part: &str) -> Vec<u32> {
        let part = spelled(part);
        (0u32..).zip(&self.vocabulary.tokens).filter(|(_, text)| text.contains(&part)).map(|(id, _)| id).collect()
    }

    /// The ids of the special tokens, each of which ends an answer.
    #[must_use]
    pub fn ends(&self) -> [u32; 3] {
        SPECIAL.map(|text| self.vocabulary.id(text))
    }

    /// Number of tokens in the vocabulary.
    #[must_use]
    pub fn vocabulary_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// A prompt of `length` ordinary tokens, different for each `which`.
    #[must_use]
    pub fn prompt(&self, length: usize, which: u64) -> Vec<u32> {
        let mut random = SplitMix64(which.wrapping_mul(0x1234_5678_9ABC_DEF1) ^ 0x5EED);
        let ordinary = (self.vocabulary.len() - SPECIAL.len()) as u64;
        (0..length).filter_map(|_| u32::try_from(random.next() % ordinary).ok()).collect()
    }
}

/// A byte-level BPE vocabulary of about 2,300 tokens.
#[derive(Debug)]
struct TinyVocabulary {
    tokens: Vec<String>,
    merges: Vec<(String, String)>,
}

impl TinyVocabulary {
    fn new() -> Self {
        let mut this =
            Self { tokens: (0..=u8::MAX).map(|byte| printable(byte).to_string()).collect(), merges: Vec::new() };
        let letters = || ('a'..='z').map(String::from);
        for first in letters() {
            for second in letters() {
                this.merge(&first, &second);
            }
        }
        for capital in 'A'..='Z' {
            for second in letters() {
                this.merge(&capital.to_string(), &second);
            }
        }
        for first in letters() {
            this.merge(" ", &first);
            for second in letters() {
                this.merge(" ", &format!("{first}{second}"));
            }
        }
        // As in real vocabularies "\n\n" begins other tokens; "**" begins none, but one contains it.
        for second in ["\n", "\n\n"] {
            for first in ["\n", ".", "!", "="] {
                this.merge(first, second);
            }
        }
        this.merge("*", "*");
        this.merge(" ", "**");
        this.tokens.extend(SPECIAL.map(str::to_owned));
        this
    }

    fn merge(&mut self, first: &str, second: &str) {
        let (first, second) = (spelled(first), spelled(second));
        self.tokens.push(format!("{first}{second}"));
        self.merges.push((first, second));
    }

    fn len(&self) -> usize {
        self.tokens.len()
    }

    #[allow(clippy::panic)]
    fn id(&self, text: &str) -> u32 {
        let wanted = if SPECIAL.contains(&text) { text.to_owned() } else { spelled(text) };
        (0u32..)
            .zip(&self.tokens)
            .find(|(_, token)| **token == wanted)
            .map_or_else(|| panic!("the tiny vocabulary has no token {text:?}"), |(id, _)| id)
    }

    fn tokenizer(&self) -> Value {
        let vocab: Map<String, Value> =
            (0u32..).zip(&self.tokens).map(|(id, token)| (token.clone(), json!(id))).collect();
        let merges: Vec<Value> = self.merges.iter().map(|(first, second)| json!([first, second])).collect();
        let added: Vec<Value> = SPECIAL
            .iter()
            .map(|text| {
                json!({
                    "id": self.id(text), "content": text, "special": true, "single_word": false,
                    "lstrip": false, "rstrip": false, "normalized": false,
                })
            })
            .collect();
        let bytes =
            json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false });
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": null,
            "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": { "Regex": QWEN2_WORDS },
                    "behavior": "Isolated",
                    "invert": false,
                },
                bytes,
            ]},
            "post_processor": bytes,
            "decoder": bytes,
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
                "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": vocab, "merges": merges,
            },
        })
    }
}

/// The printable character that represents a byte in byte-level vocabularies: itself, or one from U+0100 on.
fn printable(byte: u8) -> char {
    let itself = |b: u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if itself(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|b| !itself(*b)).count();
    u32::try_from(256 + before).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn spelled(text: &str) -> String {
    text.bytes().map(printable).collect()
}

fn config(vocabulary: usize) -> Value {
    json!({
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": SMALL.heads,
        "num_key_value_heads": KV_HEADS,
        "max_position_embeddings": CONTEXT,
        "max_window_layers": LAYERS,
        "sliding_window": CONTEXT,
        "use_sliding_window": false,
        "rope_theta": 10000.0,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "tie_word_embeddings": false,
        "torch_dtype": "float32",
    })
}

fn tokenizer_config(vocabulary: &TinyVocabulary) -> Value {
    let added: Map<String, Value> = SPECIAL
        .iter()
        .map(|text| {
            let token = json!({
                "content": text, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false,
            });
            (vocabulary.id(text).to_string(), token)
        })
        .collect();
    json!({
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": added,
        "bos_token": null,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": null,
        "chat_template": CHAT_TEMPLATE,
        "model_max_length": CONTEXT,
    })
}

fn weights(vocabulary: usize, shape: TinyShape, seed: u64) -> anyhow::Result<HashMap<String, Tensor>> {
    let TinyShape { hidden, heads } = shape;
    let mut random = SplitMix64(seed);
    let mut all = HashMap::new();
    // With a gain of 1 a matrix preserves the magnitude of the vector that it multiplies.
    let mut matrix = |rows: usize, columns: usize, gain: f32| {
        let scale = gain / (columns as f32).sqrt();
        let values: Vec<f32> = (0..rows * columns).map(|_| random.normal() * scale).collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu)
    };
    let kv = hidden / heads * KV_HEADS;
    all.insert("model.embed_tokens.weight".to_owned(), matrix(vocabulary, hidden, 8.0)?);
    all.insert("lm_head.weight".to_owned(), matrix(vocabulary, hidden, 2.5)?);
    let ones = Tensor::from_vec(vec![1.0f32; hidden], hidden, &Device::Cpu)?;
    all.insert("model.norm.weight".to_owned(), ones.clone());
    for layer in 0..LAYERS {
        let mut insert = |name: &str, tensor: Tensor| all.insert(format!("model.layers.{layer}.{name}"), tensor);
        insert("input_layernorm.weight", ones.clone());
        insert("post_attention_layernorm.weight", ones.clone());
        for (name, rows, gain) in [("q", hidden, 1.2), ("k", kv, 1.2), ("v", kv, 3.0)] {
            insert(&format!("self_attn.{name}_proj.weight"), matrix(rows, hidden, gain)?);
            insert(&format!("self_attn.{name}_proj.bias"), matrix(1, rows, 0.3)?.flatten_all()?);
        }
        insert("self_attn.o_proj.weight", matrix(hidden, hidden, 1.5)?);
        insert("mlp.gate_proj.weight", matrix(INTERMEDIATE, hidden, 1.0)?);
        insert("mlp.up_proj.weight", matrix(INTERMEDIATE, hidden, 1.0)?);
        insert("mlp.down_proj.weight", matrix(hidden, INTERMEDIATE, 1.5)?);
    }
    Ok(all)
}

/// The `SplitMix64` generator, so that the weights do not depend on the version of a crate.
#[derive(Debug, Clone)]
pub struct SplitMix64(pub u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is above 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Approximately normal with mean 0 and variance 1: the scaled sum of four uniform numbers of 16 bits.
    fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: f32 = (0..4).map(|i| f32::from((bits >> (16 * i)) as u16) / 65536.0 - 0.5).sum();
        sum * 3.0f32.sqrt()
    }
}
