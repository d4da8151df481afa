//! Loading one model into an engine of its own.

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use mistralrs_core::{DefaultSchedulerMethod, LoaderBuilder, MistralRsBuilder, SchedulerConfig};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{DeviceKind, Engine, EngineSpec, Inner, SpecError, cache::CacheMirror, parameters, vocabulary::Vocabulary};

/// Megabytes of prefix cache a CPU engine keeps between answers where the role names no number.
const PREFIX_CACHE_MB: usize = 256;

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A field of the role.
    #[error("roles.{role}.{source}")]
    Spec {
        /// Which role.
        role: String,
        /// What is wrong.
        source: SpecError,
    },
    /// mistral.rs could not load it.
    #[error(
        "the {role} model could not be loaded: {reason}. Check the model's name and files, and the memory of the device"
    )]
    Engine {
        /// Which role.
        role: String,
        /// What mistral.rs said.
        reason: String,
    },
}

impl Engine {
    /// Loads a model. Takes seconds to minutes; the waiting is done off the async threads.
    ///
    /// # Errors
    /// A field mistral.rs cannot take, or files it cannot load.
    pub async fn load(role: &str, spec: EngineSpec) -> Result<Self, LoadError> {
        let name = role.to_owned();
        let failed = |reason: String| LoadError::Engine { role: name.clone(), reason };
        let wrong = |source: SpecError| LoadError::Spec { role: name.clone(), source };

        let device = spec.device().map_err(wrong)?;
        let paged = spec.paged_attention(&device).map_err(wrong)?;
        let token_source = spec.token_source().map_err(wrong)?;
        let isq = spec.isq(&device).map_err(wrong)?;
        let map = spec.device_map().map_err(wrong)?;
        let dtype = spec.dtype(&device).map_err(wrong)?;
        let files = parameters::local_files(&spec.selected);
        spec.states.check(&files).map_err(failed)?;
        let file = files.first().filter(|file| file.extension().is_some_and(|e| e == "gguf"));
        let file = file.and_then(|file| file.file_stem()).map(|stem| stem.to_string_lossy().into_owned());
        let prefix_cache_n = spec.options.prefix_cache_n;
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        let loader = LoaderBuilder::new(spec.selected)
            .with_chat_template(text(&spec.options.chat_template))
            .with_jinja_explicit(text(&spec.options.jinja_explicit))
            .build()
            .map_err(|error| failed(error.to_string()))?;
        // A file in a local folder goes by its own name; the folder's says nothing.
        let model = file.unwrap_or_else(|| loader.get_id());
        let on = device.clone();
        let pipeline = tokio::task::spawn_blocking(move || {
            loader.load_model_from_hf(None, token_source, &dtype, &on, true, map, isq, paged)
        })
        .await
        .map_err(|error| failed(format!("mistral.rs panicked: {error}")))?
        .map_err(|error| failed(format!("{error:#}")))?;

        let (tokenizer, metadata, has_chat_template) = {
            let pipeline = pipeline.lock().await;
            let template = pipeline.get_chat_template().is_some_and(|template| template.has_chat_template());
            (pipeline.tokenizer(), pipeline.get_metadata(), template)
        };
        let tokenizer = tokenizer.ok_or_else(|| failed("it has no tokenizer, so it is no text model".to_owned()))?;
        let trie = metadata.tok_env().ok_or_else(|| failed("it has no token table".to_owned()))?;
        let vocabulary = Vocabulary::new(tokenizer, trie, &metadata.eos_tok).map_err(failed)?;

        let one = NonZeroUsize::MIN;
        let (scheduler, block) = match metadata.cache_config.clone() {
            Some(config) => {
                let block = config.block_size;
                (SchedulerConfig::PagedAttentionMeta { max_num_seqs: one.get(), config }, block)
            }
            None => (SchedulerConfig::DefaultScheduler { method: DefaultSchedulerMethod::Fixed(one) }, 1),
        };
        let per_token = metadata.model_metadata.as_ref().map_or(0, |model| {
            model.num_layers() * model.kv_cache_elements_per_token() * metadata.activation_dtype.size_in_bytes()
        });
        let budget = spec.options.prefix_cache_mb.unwrap_or(PREFIX_CACHE_MB) << 20;
        let context = spec.options.context_length.map_or(metadata.max_seq_len, |limit| limit.min(metadata.max_seq_len));
        let mut builder = MistralRsBuilder::new(pipeline, scheduler, false, None);
        if let Some(n) = prefix_cache_n {
            builder = builder.with_prefix_cache_n(n);
        }
        let mistral = builder.build().await;

        let mut cache = CacheMirror::new(per_token, budget);
        // mistral.rs warms every engine up with this prompt, which leaves a key of its own.
        if let Ok(mut warm_up) = vocabulary.encode("hello", true) {
            warm_up.truncate(1);
            cache.insert(warm_up);
        }
        Ok(Self(Arc::new(Inner {
            role: role.to_owned(),
            model,
            mistral,
            vocabulary: Arc::new(vocabulary),
            context,
            parameters: spec.options.parameters.or_else(|| parameters::count(&files)),
            lease: Arc::new(Semaphore::new(1)),
            turn: Arc::new(Semaphore::new(1)),
            begins: AtomicBool::new(false),
            cache_gauge: cache.gauge(),
            cache: Mutex::new(cache),
            device: if device.is_cpu() { DeviceKind::Cpu } else { DeviceKind::Gpu { block } },
            has_chat_template,
            states: spec.states,
        })))
    }
}
