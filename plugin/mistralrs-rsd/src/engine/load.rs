//! Loads a model into an engine of its own.

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use candle_core::Device;
use mistralrs_core::{DefaultSchedulerMethod, LoaderBuilder, MistralRs, MistralRsBuilder, Pipeline, SchedulerConfig};
use parking_lot::Mutex;
use rsd_head::gguf;
use rsd_vocabulary::Vocabulary;
use tokio::sync::Semaphore;

use super::{
    DeviceKind, Engine, EngineCore, EngineSpec, SpecError,
    cache::CacheMirror,
    health::{self, EngineHealth},
    weight_files,
};

/// Prefix cache in megabytes that a CPU engine may hold between answers if the role sets no `prefix_cache_mb`.
const PREFIX_CACHE_MB: usize = 256;

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A field of the role has a value that mistral.rs does not support.
    #[error("roles.{role}.{source}")]
    Spec {
        /// `draft`, `target` or `reward`.
        role: String,
        /// The field, and what is wrong with it.
        source: SpecError,
    },
    /// mistral.rs could not load it.
    #[error(
        "the {role} model could not be loaded: {reason}. Check the model's name and files, and the memory of the device"
    )]
    Engine {
        /// `draft`, `target` or `reward`.
        role: String,
        /// mistral.rs's message.
        reason: String,
    },
}

/// A pipeline of mistral.rs, and what an engine must know about its model.
struct LoadedPipeline {
    pipeline: Arc<tokio::sync::Mutex<dyn Pipeline + Send + Sync>>,
    /// The model's name: the stem of a local GGUF file, or mistral.rs's id.
    model: String,
    scheduler: SchedulerConfig,
    /// The block size of PagedAttention; 1 where it is off.
    block: usize,
    /// Bytes of the KV cache per token.
    bytes_per_token: usize,
    /// The longest context that the model supports.
    max_context: usize,
    vocabulary: Vocabulary,
    has_chat_template: bool,
}

impl Engine {
    /// Loads a model. This takes seconds to minutes; the work is done on a blocking thread.
    ///
    /// # Errors
    /// A field has a value that mistral.rs does not support, or mistral.rs cannot load the files.
    pub async fn load(role: &str, spec: EngineSpec) -> Result<Self, LoadError> {
        let failed = |reason: String| LoadError::Engine { role: role.to_owned(), reason };
        let EngineSpec { options, states, .. } = &spec;
        let (options, states) = (options.clone(), *states);
        let device = spec.device().map_err(|source| LoadError::Spec { role: role.to_owned(), source })?;
        let files = weight_files::local_files(&spec.selected);
        states.check(&files).map_err(failed)?;
        let on_cpu = device.is_cpu();
        let loaded = load_pipeline(role, spec, device, &files).await?;

        let budget = options.prefix_cache_mb.unwrap_or(PREFIX_CACHE_MB) << 20;
        let mut cache = CacheMirror::new(loaded.bytes_per_token, budget);
        // mistral.rs warms every engine up with this prompt, which leaves a key in the prefix cache.
        if let Ok(mut warm_up) = loaded.vocabulary.encode("hello", true) {
            warm_up.truncate(1);
            cache.insert(warm_up);
        }
        let core = Arc::new(EngineCore {
            role: role.to_owned(),
            model: loaded.model,
            mistral: start_engine(loaded.pipeline.clone(), loaded.scheduler, options.prefix_cache_n).await,
            channel: Mutex::new(None),
            health: EngineHealth::new(),
            pipeline: loaded.pipeline,
            vocabulary: Arc::new(loaded.vocabulary),
            context: options.context_length.map_or(loaded.max_context, |limit| limit.min(loaded.max_context)),
            parameters: options.parameters.or_else(|| rsd_head::weight_files::count_parameters(&files)),
            engine_permit: Arc::new(Semaphore::new(1)),
            answer_permit: Arc::new(Semaphore::new(1)),
            answer_begins: AtomicBool::new(false),
            cache_gauge: cache.gauge(),
            cache: Mutex::new(cache),
            device: if on_cpu { DeviceKind::Cpu } else { DeviceKind::Gpu { block: loaded.block } },
            has_chat_template: loaded.has_chat_template,
            states,
            extends_prefixes: AtomicBool::new(true),
        });
        health::watch(&core);
        Ok(Self(core))
    }
}

/// Translates the spec into mistral.rs's terms and loads the model with them. `files` are its local weight files.
async fn load_pipeline(
    role: &str,
    spec: EngineSpec,
    device: Device,
    files: &[PathBuf],
) -> Result<LoadedPipeline, LoadError> {
    let failed = |reason: String| LoadError::Engine { role: role.to_owned(), reason };
    let wrong = |source: SpecError| LoadError::Spec { role: role.to_owned(), source };
    let paged = spec.paged_attention(&device).map_err(wrong)?;
    let token_source = spec.token_source().map_err(wrong)?;
    let isq = spec.isq(&device).map_err(wrong)?;
    let map = spec.device_map().map_err(wrong)?;
    let dtype = spec.dtype(&device).map_err(wrong)?;
    let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
    let loader = LoaderBuilder::new(spec.selected)
        .with_chat_template(text(&spec.options.chat_template))
        .with_jinja_explicit(text(&spec.options.jinja_explicit))
        .build()
        .map_err(|error| failed(error.to_string()))?;
    // For a GGUF in a local folder mistral.rs's id is the folder; the file's name says more.
    let gguf = files.first().filter(|file| file.extension().is_some_and(|extension| extension == "gguf"));
    let stem = gguf.and_then(|file| file.file_stem()).map(|stem| stem.to_string_lossy().into_owned());
    let model = stem.unwrap_or_else(|| loader.get_id());
    let pipeline = tokio::task::spawn_blocking(move || {
        loader.load_model_from_hf(None, token_source, &dtype, &device, true, map, isq, paged)
    })
    .await
    .map_err(|error| failed(format!("mistral.rs panicked: {error}")))?
    .map_err(|error| failed(format!("{error:#}")))?;

    let (tokenizer, metadata, has_chat_template) = {
        let pipeline = pipeline.lock().await;
        let template = pipeline.get_chat_template().is_some_and(|template| template.has_chat_template());
        (pipeline.tokenizer(), pipeline.get_metadata(), template)
    };
    let tokenizer = tokenizer.ok_or_else(|| failed("it has no tokenizer, so it is not a text model".to_owned()))?;
    let trie = metadata.tok_env().ok_or_else(|| failed("it has no token table".to_owned()))?;
    let vocabulary = Vocabulary::new(tokenizer, trie, &metadata.eos_tok)
        .map_err(failed)?
        .with_text_tokens(files.first().map(|file| gguf::user_defined_tokens(file)).unwrap_or_default());
    // One sequence at a time; see the module head of the engine.
    let one = NonZeroUsize::MIN;
    let (scheduler, block) = match metadata.cache_config.clone() {
        Some(config) => {
            let block = config.block_size;
            (SchedulerConfig::PagedAttentionMeta { max_num_seqs: one.get(), config }, block)
        }
        None => (SchedulerConfig::DefaultScheduler { method: DefaultSchedulerMethod::Fixed(one) }, 1),
    };
    let bytes_per_token = metadata.model_metadata.as_ref().map_or(0, |model| {
        model.num_layers() * model.kv_cache_elements_per_token() * metadata.activation_dtype.size_in_bytes()
    });
    let max_context = metadata.max_seq_len;
    Ok(LoadedPipeline {
        pipeline,
        model,
        scheduler,
        block,
        bytes_per_token,
        max_context,
        vocabulary,
        has_chat_template,
    })
}

/// Starts mistral.rs's engine thread.
async fn start_engine(
    pipeline: Arc<tokio::sync::Mutex<dyn Pipeline + Send + Sync>>,
    scheduler: SchedulerConfig,
    prefix_cache_n: Option<usize>,
) -> Arc<MistralRs> {
    let mut builder = MistralRsBuilder::new(pipeline, scheduler, false, None);
    if let Some(n) = prefix_cache_n {
        builder = builder.with_prefix_cache_n(n);
    }
    builder.build().await
}
