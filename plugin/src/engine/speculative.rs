//! mistral.rs's own speculative decoding, for comparison: the draft writes a few tokens, the target checks them in one
//! pass and keeps those it would have written itself.
//!
//! It loads both models again, for mistral.rs keeps them inside a pipeline of its own.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use candle_core::{Result as TensorResult, Tensor};
use mistralrs_core::{
    CustomLogitsProcessor, DefaultSchedulerMethod, Loader, LoaderBuilder, MistralRs, MistralRsBuilder, NormalRequest,
    Request, Response, SamplingParams, SchedulerConfig, SpeculativeConfig, SpeculativeLoader, StopTokens,
    get_model_dtype,
};
use tokio::sync::{Mutex, mpsc};

use super::{EngineSpec, LoadError, SpecError, request, vocabulary::Vocabulary};

/// Draft and target in mistral.rs's pipeline.
pub struct Speculative {
    mistral: Arc<MistralRs>,
    vocabulary: Vocabulary,
    /// Tokens that the draft writes before the target checks them.
    gamma: usize,
    /// It answers one request at a time.
    lease: Mutex<()>,
}

/// A greedy answer, and what it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Spoken {
    /// Its text.
    pub text: String,
    /// Its tokens.
    pub tokens: usize,
    /// Whether it came to its end.
    pub finished: bool,
    /// Tokens that the draft wrote.
    pub drafted: usize,
    /// Seconds.
    pub seconds: f64,
}

impl Speculative {
    /// Loads both models.
    ///
    /// # Errors
    /// mistral.rs cannot load them, or their vocabularies differ.
    pub async fn load(draft: EngineSpec, target: EngineSpec, gamma: usize) -> Result<Self, LoadError> {
        let failed = |reason: String| LoadError::Engine { role: "speculative".to_owned(), reason };
        let wrong = |source: SpecError| LoadError::Spec { role: "target".to_owned(), source };
        let device = target.device().map_err(wrong)?;
        let token_source = target.token_source().map_err(wrong)?;
        let isq = target.isq(&device).map_err(wrong)?;
        let map = target.device_map().map_err(wrong)?;
        let dtype = get_model_dtype(&target.selected).map_err(|error| failed(error.to_string()))?;
        let loader = SpeculativeLoader {
            target: loader(target).map_err(failed)?,
            draft: loader(draft).map_err(failed)?,
            config: SpeculativeConfig { gamma },
        };
        let pipeline = tokio::task::spawn_blocking(move || {
            loader.load_model_from_hf(None, token_source, &dtype, &device, true, map, isq, None)
        })
        .await
        .map_err(|error| failed(format!("mistral.rs panicked: {error}")))?
        .map_err(|error| failed(format!("{error:#}")))?;
        let (tokenizer, metadata) = {
            let pipeline = pipeline.lock().await;
            (pipeline.tokenizer(), pipeline.get_metadata())
        };
        let tokenizer = tokenizer.ok_or_else(|| failed("it has no tokenizer, so it is no text model".to_owned()))?;
        let trie = metadata.tok_env().ok_or_else(|| failed("it has no token table".to_owned()))?;
        let vocabulary = Vocabulary::new(tokenizer, trie, &metadata.eos_tok).map_err(failed)?;
        let scheduler = SchedulerConfig::DefaultScheduler { method: DefaultSchedulerMethod::Fixed(NonZeroUsize::MIN) };
        // What the prefix cache holds of one model says nothing about the other.
        let builder = MistralRsBuilder::new(pipeline, scheduler, false, None).with_no_prefix_cache(true);
        Ok(Self { mistral: builder.build().await, vocabulary, gamma, lease: Mutex::new(()) })
    }

    /// Answers a prompt greedily.
    ///
    /// # Errors
    /// mistral.rs refused or failed, in its words.
    pub async fn answer(&self, prompt: Vec<u32>, max_tokens: usize) -> Result<Spoken, String> {
        let _lease = self.lease.lock().await;
        let began = Instant::now();
        let samples = Arc::new(Count::default());
        let (response, mut answers) = mpsc::channel(64);
        let stop = self.vocabulary.ends().collect();
        let request = NormalRequest {
            sampling_params: SamplingParams {
                temperature: Some(0.0),
                // Without it every sample sorts the whole vocabulary.
                top_k: Some(1),
                max_len: Some(max_tokens),
                stop_toks: Some(StopTokens::Ids(stop)),
                ..SamplingParams::neutral()
            },
            ..request::normal_request(prompt, response, Some(samples.clone()), self.vocabulary.sentinel)
        };
        let sender = self.mistral.get_sender(None).map_err(|error| error.to_string())?;
        sender.send(Request::Normal(Box::new(request))).await.map_err(|error| error.to_string())?;
        let (mut text, mut finish) = (String::new(), None);
        while let Some(answer) = answers.recv().await {
            match answer {
                Response::CompletionChunk(chunk) => {
                    for choice in chunk.choices {
                        text.push_str(&choice.text);
                        finish = choice.finish_reason.or(finish);
                    }
                }
                Response::InternalError(error) | Response::ValidationError(error) => return Err(error.to_string()),
                Response::CompletionModelError(error, _) => return Err(error),
                _ => return Err("the engine answered with something else than a completion".to_owned()),
            }
            if finish.is_some() {
                break;
            }
        }
        let finish = finish.ok_or("the engine ended in the middle of an answer")?;
        let tokens = self.vocabulary.encode(&text, false)?.len();
        // Of every round's samples `gamma` are the draft's; the target's are the tokens of the answer, its end, and what
        // it agreed to after the end.
        let finished = finish == "stop";
        let drafted = samples.0.load(Ordering::Relaxed).saturating_sub(tokens + usize::from(finished));
        Ok(Spoken {
            text,
            tokens,
            finished,
            drafted: drafted / self.gamma * self.gamma,
            seconds: began.elapsed().as_secs_f64(),
        })
    }
}

fn loader(spec: EngineSpec) -> Result<Box<dyn Loader>, String> {
    let text = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
    LoaderBuilder::new(spec.selected)
        .with_chat_template(text(&spec.options.chat_template))
        .with_jinja_explicit(text(&spec.options.jinja_explicit))
        .build()
        .map_err(|error| error.to_string())
}

/// Counts samples and leaves the logits as they are.
#[derive(Default)]
struct Count(AtomicUsize);

impl CustomLogitsProcessor for Count {
    fn apply(&self, logits: &Tensor, _context: &[u32]) -> TensorResult<Tensor> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(logits.clone())
    }
}
