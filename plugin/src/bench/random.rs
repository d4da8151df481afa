//! Models of real shapes with weights that mean nothing: how fast a model is does not depend on what it says.
//!
//! The vocabulary and the chat template are those of the bundled draft, which has the same family. One matrix of each
//! shape is drawn and used in every layer.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use async_trait::async_trait;
use candle_core::{
    Device, Tensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Content, Value},
    },
};
use rsd_protocol::{
    live::{Live, LiveLimits, LiveSteps},
    policy::PolicyConfig,
};

use crate::{
    config::RoleConfig,
    deploy::{Deployed, load, with_file},
    engine::EngineSpec,
    models,
    pipeline::{
        Rsd, Settings,
        observe::Unobserved,
        roles::{Reward, RoleError, Score, Trajectory},
        segment::Boundary,
    },
    policy::PolicyHandle,
};

/// A shape of the Qwen2.5 family, as its model cards' `config.json` have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// As in the model's name.
    pub name: &'static str,
    layers: usize,
    hidden: usize,
    feed_forward: usize,
    heads: usize,
    kv_heads: usize,
    /// Whether the output matrix is the embeddings.
    tied: bool,
}

/// The shapes that are known.
pub const SHAPES: [Shape; 5] = [
    Shape { name: "0.5B", layers: 24, hidden: 896, feed_forward: 4864, heads: 14, kv_heads: 2, tied: true },
    Shape { name: "1.5B", layers: 28, hidden: 1536, feed_forward: 8960, heads: 12, kv_heads: 2, tied: true },
    Shape { name: "7B", layers: 28, hidden: 3584, feed_forward: 18944, heads: 28, kv_heads: 4, tied: false },
    Shape { name: "14B", layers: 48, hidden: 5120, feed_forward: 13824, heads: 40, kv_heads: 8, tied: false },
    Shape { name: "32B", layers: 64, hidden: 5120, feed_forward: 27648, heads: 40, kv_heads: 8, tied: false },
];

/// Block types that every matrix of these shapes can have: their rows are multiples of 32.
const TYPES: [(&str, GgmlDType); 3] = [("q4_0", GgmlDType::Q4_0), ("q8_0", GgmlDType::Q8_0), ("f16", GgmlDType::F16)];

/// Tokens of a step. Noise has no paragraphs.
const STEP_TOKENS: usize = 40;

impl Shape {
    /// The matrices of one layer: name, rows, columns.
    fn matrices(&self) -> [(&'static str, usize, usize); 7] {
        let (hidden, kv) = (self.hidden, self.hidden / self.heads * self.kv_heads);
        [
            ("attn_q", hidden, hidden),
            ("attn_k", kv, hidden),
            ("attn_v", kv, hidden),
            ("attn_output", hidden, hidden),
            ("ffn_gate", self.feed_forward, hidden),
            ("ffn_up", self.feed_forward, hidden),
            ("ffn_down", hidden, self.feed_forward),
        ]
    }

    fn metadata(&self) -> [(&'static str, usize); 5] {
        [
            ("qwen2.block_count", self.layers),
            ("qwen2.embedding_length", self.hidden),
            ("qwen2.feed_forward_length", self.feed_forward),
            ("qwen2.attention.head_count", self.heads),
            ("qwen2.attention.head_count_kv", self.kv_heads),
        ]
    }
}

fn noise(rows: usize, columns: usize, dtype: GgmlDType) -> candle_core::Result<QTensor> {
    let std = (1.0 / columns as f32).sqrt();
    QTensor::quantize(&Tensor::randn(0.0, std, (rows, columns), &Device::Cpu)?, dtype)
}

fn vector(length: usize, value: f32) -> candle_core::Result<QTensor> {
    QTensor::quantize(&Tensor::full(value, length, &Device::Cpu)?, GgmlDType::F32)
}

/// Writes such a model; vocabulary and template are `like` another file's.
fn write(path: &Path, shape: Shape, dtype: GgmlDType, like: &Path) -> anyhow::Result<()> {
    let file = File::open(like).with_context(|| format!("reading {}", like.display()))?;
    let mut metadata = Content::read(&mut BufReader::new(file))?.metadata;
    for (key, value) in shape.metadata() {
        metadata.insert(key.to_owned(), Value::U32(u32::try_from(value)?));
    }
    metadata.insert("general.name".to_owned(), Value::String(format!("random weights, {}", shape.name)));
    let Some(Value::Array(tokens)) = metadata.get("tokenizer.ggml.tokens") else {
        anyhow::bail!("{} has no vocabulary", like.display());
    };
    let embeddings = noise(tokens.len(), shape.hidden, dtype)?;
    let output = if shape.tied { None } else { Some(noise(tokens.len(), shape.hidden, dtype)?) };
    let matrices = shape.matrices().map(|(name, rows, columns)| Ok((name, noise(rows, columns, dtype)?)));
    let matrices = matrices.into_iter().collect::<candle_core::Result<Vec<_>>>()?;
    let norm = vector(shape.hidden, 1.0)?;
    let kv = shape.hidden / shape.heads * shape.kv_heads;
    let (wide, narrow) = (vector(shape.hidden, 0.0)?, vector(kv, 0.0)?);

    let mut tensors = vec![("token_embd.weight".to_owned(), &embeddings), ("output_norm.weight".to_owned(), &norm)];
    tensors.extend(output.as_ref().map(|output| ("output.weight".to_owned(), output)));
    for layer in 0..shape.layers {
        let mut add = |name: &str, tensor| tensors.push((format!("blk.{layer}.{name}"), tensor));
        for (name, matrix) in &matrices {
            add(&format!("{name}.weight"), matrix);
        }
        add("attn_norm.weight", &norm);
        add("ffn_norm.weight", &norm);
        add("attn_q.bias", &wide);
        add("attn_k.bias", &narrow);
        add("attn_v.bias", &narrow);
    }
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), *tensor)).collect();
    let folder = path.parent().context("a file without a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let mut whole = tempfile::NamedTempFile::new_in(folder)?;
    gguf_file::write(&mut BufWriter::new(&mut whole), &metadata, &tensors)
        .with_context(|| format!("writing {}", path.display()))?;
    whole.persist(path)?;
    Ok(())
}

/// The file of such a model, written where it is not there yet.
fn ensure_random(shape: Shape, dtype: (&str, GgmlDType)) -> anyhow::Result<PathBuf> {
    let path = models::cache_dir()?.join("random").join(format!("{}-{}.gguf", shape.name, dtype.0));
    if !path.is_file() {
        tracing::info!(path = %path.display(), "drawing random weights");
        let like = models::ensure("draft", models::on_stderr().as_ref())?;
        write(&path, shape, dtype.1, &like)?;
    }
    Ok(path)
}

/// Judges for nothing.
struct Free;

#[async_trait]
impl Reward for Free {
    fn name(&self) -> &'static str {
        "none"
    }

    fn parameters(&self) -> Option<u64> {
        Some(0)
    }

    async fn score(&self, _: Trajectory<'_>) -> Result<Score, RoleError> {
        Ok(Score::default())
    }
}

/// Loads two models of these names, with weights in blocks of this type (`q4_0`, `q8_0` or `f16`). Steps have a fixed
/// length and judging them costs nothing.
///
/// # Errors
/// A name is not known, or a file cannot be written or loaded.
pub async fn deploy_random(draft: &str, target: &str, dtype: &str, cpu: bool) -> anyhow::Result<Deployed> {
    let named = |name: &str| {
        let known = SHAPES.map(|shape| shape.name).join(", ");
        SHAPES
            .into_iter()
            .find(|shape| shape.name.eq_ignore_ascii_case(name))
            .with_context(|| format!("no shape `{name}`: expected one of {known}"))
    };
    let dtype = TYPES
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(dtype))
        .with_context(|| format!("no type `{dtype}`: expected one of {}", TYPES.map(|(name, _)| name).join(", ")))?;
    let shapes = [named(draft)?, named(target)?];
    let files = tokio::task::spawn_blocking(move || -> anyhow::Result<[PathBuf; 2]> {
        Ok([ensure_random(shapes[0], dtype)?, ensure_random(shapes[1], dtype)?])
    });
    let [draft, target] = files.await??;
    let spec = |path: &Path| EngineSpec::from_role(&with_file(RoleConfig { cpu, ..RoleConfig::default() }, path));
    let draft = load("draft", spec(&draft)?).await?;
    let target = load("target", spec(&target)?).await?;
    let live = Live {
        policy: PolicyConfig::default(),
        presets: Vec::new(),
        steps: LiveSteps::default(),
        limits: LiveLimits::default(),
    };
    let rsd = Rsd {
        draft: Arc::new(draft),
        target: Arc::new(target.clone()),
        reward: Arc::new(Free),
        policy: Arc::new(PolicyHandle::new(live)?),
        observer: Arc::new(Unobserved),
        settings: Settings {
            boundary: Boundary::Tokens(STEP_TOKENS),
            reward_timeout: std::time::Duration::from_secs(10),
        },
    };
    Ok(Deployed { rsd, target })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the model cards: parameters without embeddings, in billions.
    #[test]
    fn the_shapes_have_the_sizes_that_their_cards_say() {
        for (shape, billions) in SHAPES.iter().zip([0.36, 1.31, 6.53, 13.1, 31.0]) {
            let layer: usize = shape.matrices().iter().map(|(_, rows, columns)| rows * columns).sum();
            let found = (layer * shape.layers) as f64 / 1e9;
            assert!((found / billions - 1.0).abs() < 0.02, "{}: {found} for {billions}", shape.name);
        }
    }

    #[tokio::test]
    async fn unknown_names_are_refused_with_the_known_ones() {
        let refused = |draft: &'static str, dtype: &'static str| async move {
            deploy_random(draft, "1.5B", dtype, true).await.err().unwrap().to_string()
        };
        assert!(refused("9B", "q4_0").await.contains("`9B`: expected one of 0.5B, 1.5B"));
        assert!(refused("0.5B", "q3").await.contains("`q3`: expected one of q4_0"));
    }
}
