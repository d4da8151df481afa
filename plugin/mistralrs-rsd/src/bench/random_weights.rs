//! Models of real shapes with random weights, because the speed of a model does not depend on the values of its
//! weights.
//!
//! The vocabulary and the chat template are those of the bundled draft, which is of the same family. One matrix of each
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
    policy::PolicyConfig,
    settings::{RuntimeLimits, RuntimeSettings, RuntimeSteps},
};

use rsd_config::RoleConfig;

use crate::{
    deploy::{LoadedDeployment, load},
    engine::EngineSpec,
};

use rsd_head::{models, progress::ProgressReporter};

use rsd_core::{
    pipeline::{
        PipelineSettings, Rsd,
        observe::NullObserver,
        roles::{RewardModel, RoleError, StepScore, Trajectory},
        segment::StepBoundary,
    },
    policy::PolicyHandle,
};

/// The shape of a model of the Qwen2.5 family, from the `config.json` of its model card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelShape {
    /// The size as it appears in the model's name.
    pub name: &'static str,
    layers: usize,
    hidden: usize,
    feed_forward: usize,
    heads: usize,
    kv_heads: usize,
    /// True if the output matrix is the embedding matrix.
    tied: bool,
}

/// The shapes that `--random-weights` supports.
pub const MODEL_SHAPES: [ModelShape; 5] = [
    ModelShape { name: "0.5B", layers: 24, hidden: 896, feed_forward: 4864, heads: 14, kv_heads: 2, tied: true },
    ModelShape { name: "1.5B", layers: 28, hidden: 1536, feed_forward: 8960, heads: 12, kv_heads: 2, tied: true },
    ModelShape { name: "7B", layers: 28, hidden: 3584, feed_forward: 18944, heads: 28, kv_heads: 4, tied: false },
    ModelShape { name: "14B", layers: 48, hidden: 5120, feed_forward: 13824, heads: 40, kv_heads: 8, tied: false },
    ModelShape { name: "32B", layers: 64, hidden: 5120, feed_forward: 27648, heads: 40, kv_heads: 8, tied: false },
];

/// Block types that fit every matrix of these shapes, whose rows are multiples of 32.
const TYPES: [(&str, GgmlDType); 3] = [("q4_0", GgmlDType::Q4_0), ("q8_0", GgmlDType::Q8_0), ("f16", GgmlDType::F16)];

/// Tokens of a step. Steps have a fixed length, because random text has no paragraphs.
const STEP_TOKENS: usize = 40;

impl ModelShape {
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

/// Writes a model of random weights with the vocabulary and the chat template of the file `like`.
fn write(path: &Path, shape: ModelShape, dtype: GgmlDType, like: &Path) -> anyhow::Result<()> {
    let file = File::open(like).with_context(|| format!("reading {}", like.display()))?;
    let mut metadata = Content::read(&mut BufReader::new(file))?.metadata;
    for (key, value) in shape.metadata() {
        metadata.insert(key.to_owned(), Value::U32(u32::try_from(value)?));
    }
    metadata.insert("general.name".to_owned(), Value::String(format!("random weights, {}", shape.name)));
    let Some(Value::Array(tokens)) = metadata.get("tokenizer.ggml.tokens") else {
        anyhow::bail!("{}: no vocabulary (`tokenizer.ggml.tokens`)", like.display());
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
    let folder = path.parent().context("the path has no folder")?;
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let mut whole = tempfile::NamedTempFile::new_in(folder)?;
    gguf_file::write(&mut BufWriter::new(&mut whole), &metadata, &tensors)
        .with_context(|| format!("writing {}", path.display()))?;
    whole.persist(path)?;
    Ok(())
}

/// The path of a model of random weights, which is written to the cache first if it does not exist.
fn ensure_random(shape: ModelShape, dtype: (&str, GgmlDType)) -> anyhow::Result<PathBuf> {
    let path = models::cache_dir()?.join("random").join(format!("{}-{}.gguf", shape.name, dtype.0));
    if !path.is_file() {
        tracing::info!(path = %path.display(), "writing a model of random weights");
        let like = models::ensure("draft", &ProgressReporter::on_stderr())?;
        write(&path, shape, dtype.1, &like)?;
    }
    Ok(path)
}

/// A reward model that scores every step 0 at no cost.
struct ZeroReward;

#[async_trait]
impl RewardModel for ZeroReward {
    fn name(&self) -> &'static str {
        "none"
    }

    fn parameters(&self) -> Option<u64> {
        Some(0)
    }

    async fn score(&self, _: Trajectory<'_>) -> Result<StepScore, RoleError> {
        Ok(StepScore::default())
    }
}

/// Loads a draft and a target of these shapes with random weights in blocks of type `dtype` (`q4_0`, `q8_0` or `f16`).
/// Steps have a fixed length, and scoring them costs nothing.
///
/// # Errors
/// The shape or the type is unknown, or a file cannot be written or loaded.
pub async fn deploy_random_weights(
    draft: &str,
    target: &str,
    dtype: &str,
    cpu: bool,
) -> anyhow::Result<LoadedDeployment> {
    let named = |name: &str| {
        let known = MODEL_SHAPES.map(|shape| shape.name).join(", ");
        MODEL_SHAPES
            .into_iter()
            .find(|shape| shape.name.eq_ignore_ascii_case(name))
            .with_context(|| format!("unknown shape `{name}`: expected one of {known}"))
    };
    let dtype = TYPES.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(dtype)).with_context(|| {
        format!("unknown block type `{dtype}`: expected one of {}", TYPES.map(|(name, _)| name).join(", "))
    })?;
    let shapes = [named(draft)?, named(target)?];
    let files = tokio::task::spawn_blocking(move || -> anyhow::Result<[PathBuf; 2]> {
        Ok([ensure_random(shapes[0], dtype)?, ensure_random(shapes[1], dtype)?])
    });
    let [draft, target] = files.await??;
    let spec = |path: &Path| EngineSpec::from_role(&RoleConfig { cpu, ..RoleConfig::default() }.with_gguf(path));
    let draft = load("draft", spec(&draft)?).await?;
    let target = load("target", spec(&target)?).await?;
    let settings = RuntimeSettings {
        policy: PolicyConfig::default(),
        presets: Vec::new(),
        steps: RuntimeSteps::default(),
        limits: RuntimeLimits::default(),
    };
    let rsd = Rsd {
        draft: Arc::new(draft),
        target: Arc::new(target.clone()),
        reward: Arc::new(ZeroReward),
        policy: Arc::new(PolicyHandle::new(settings)?),
        observer: Arc::new(NullObserver),
        settings: PipelineSettings {
            boundary: StepBoundary::Tokens(STEP_TOKENS),
            reward_timeout: std::time::Duration::from_secs(10),
            proposals: 0,
        },
    };
    Ok(LoadedDeployment { rsd, target: Some(target) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The model cards give the parameters without embeddings, in billions.
    #[test]
    fn the_shapes_have_the_sizes_that_their_cards_say() {
        for (shape, billions) in MODEL_SHAPES.iter().zip([0.36, 1.31, 6.53, 13.1, 31.0]) {
            let layer: usize = shape.matrices().iter().map(|(_, rows, columns)| rows * columns).sum();
            let found = (layer * shape.layers) as f64 / 1e9;
            assert!((found / billions - 1.0).abs() < 0.02, "{}: {found} for {billions}", shape.name);
        }
    }

    #[tokio::test]
    async fn an_error_about_an_unknown_name_lists_the_known_ones() {
        let error_of = |draft: &'static str, dtype: &'static str| async move {
            deploy_random_weights(draft, "1.5B", dtype, true).await.err().unwrap().to_string()
        };
        assert!(error_of("9B", "q4_0").await.contains("`9B`: expected one of 0.5B, 1.5B"));
        assert!(error_of("0.5B", "q3").await.contains("`q3`: expected one of q4_0"));
    }
}
