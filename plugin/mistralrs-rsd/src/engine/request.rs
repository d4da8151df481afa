//! Sends one request to mistral.rs's engine thread, waits for its end, notices a dead thread, and empties the cache.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use mistralrs_core::{
    Constraint, CustomLogitsProcessor, NormalRequest, Request, RequestMessage, Response, SamplingParams, StopTokens,
};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{DeviceKind, EngineCore, sampler_hook::SamplerHook, step_sampler::TokenSelector};
use rsd_core::pipeline::roles::RoleError;

/// A token id that no vocabulary has. A prompt of this token fails in the embedding look-up, and after a failed
/// forward pass mistral.rs drops its whole prefix cache. This is the only way to empty the cache without cost or
/// leak: terminating the engine leaves a sleeping logger thread behind each time. `u32::MAX` itself would not fail,
/// because candle uses it as padding.
const NO_TOKEN: u32 = u32::MAX - 1;

/// How a request ended.
pub(super) enum RequestEnd {
    /// The selector ended the request.
    Ended,
    /// The engine thread died.
    Died(String),
    /// The engine answered with an error.
    Failed(String),
}

impl EngineCore {
    /// Sends a request to the engine thread. mistral.rs starts a new thread after one has died, and a new thread has an
    /// empty cache. The caller holds the engine permit.
    pub(super) async fn send(&self, request: Request) -> Result<(), RoleError> {
        let mut request = request;
        // mistral.rs replaces a dead thread once it has unwound. Until then `get_sender` returns the old, closed
        // channel.
        for _ in 0..250 {
            let sender = self.mistral.get_sender(None).map_err(|error| self.failed(error))?;
            if !self.is_known(&sender) {
                self.cache.lock().clear();
            }
            match sender.send(request).await {
                Ok(()) => return Ok(()),
                Err(mpsc::error::SendError(back)) => request = back,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(self.failed("its engine died and did not restart within 5 seconds"))
    }

    /// Whether this is the channel that was used before, and remembers it.
    fn is_known(&self, sender: &mpsc::Sender<Request>) -> bool {
        let mut channel = self.channel.lock();
        let known = channel.as_ref().is_none_or(|before| before.same_channel(sender));
        if !known || channel.is_none() {
            *channel = Some(sender.clone());
        }
        known
    }

    /// Runs one request until its selector ends it. The caller holds the engine permit.
    pub(super) async fn run_request<C: TokenSelector + 'static>(
        &self,
        prompt: Vec<u32>,
        selector: &Arc<Mutex<C>>,
        begins: bool,
    ) -> Result<RequestEnd, RoleError> {
        let begins = self.answer_begins.swap(false, Ordering::Relaxed) || begins;
        self.make_room(&prompt, begins).await?;
        let hook: Arc<dyn CustomLogitsProcessor> =
            Arc::new(SamplerHook::new(selector.clone(), self.vocabulary.sentinel()));
        let (response, mut answers) = mpsc::channel(64);
        let request = normal_request(prompt.clone(), response, Some(hook), self.vocabulary.sentinel());
        self.send(Request::Normal(Box::new(request))).await?;

        // The receiver lives until the end. A run is cancelled through the sampler, which leaves the cache intact.
        let mut failure = None;
        while let Some(answer) = answers.recv().await {
            match answer {
                Response::CompletionChunk(chunk) if chunk.choices.iter().all(|c| c.finish_reason.is_none()) => {}
                Response::CompletionChunk(_) | Response::CompletionDone(_) => break,
                Response::InternalError(error) | Response::ValidationError(error) => failure = Some(error.to_string()),
                Response::CompletionModelError(error, _) => failure = Some(error),
                _ => failure = Some("the engine answered with something other than a completion".to_owned()),
            }
            if failure.is_some() {
                break;
            }
        }
        drop(answers);

        if let Some(reason) = failure {
            // A failed forward pass empties the prefix cache.
            self.cache.lock().clear();
            return Ok(RequestEnd::Failed(reason));
        }
        let selector = selector.lock();
        if !selector.ended() {
            self.cache.lock().clear();
            return Ok(RequestEnd::Died("its engine died in the middle of a request".to_owned()));
        }
        self.record_cache_keys(prompt, &*selector);
        Ok(RequestEnd::Ended)
    }

    /// Records the one or two keys that a request leaves in the prefix cache.
    fn record_cache_keys(&self, mut key: Vec<u32>, selector: &impl TokenSelector) {
        key.extend_from_slice(selector.fed());
        key.push(self.vocabulary.sentinel());
        let mut cache = self.cache.lock();
        // A CPU engine runs a request that ends with its first token once more, and this run leaves a second key.
        if selector.fed().is_empty() && self.device == DeviceKind::Cpu {
            let mut second = key.clone();
            second.push(self.vocabulary.sentinel());
            cache.insert(second);
        }
        cache.insert(key);
    }

    /// Empties the prefix cache of a CPU engine if it would harm this request or exceeds its budget.
    async fn make_room(&self, prompt: &[u32], begins: bool) -> Result<(), RoleError> {
        if self.device != DeviceKind::Cpu || !self.cache.lock().must_empty_before(prompt, begins) {
            return Ok(());
        }
        self.empty_cache().await
    }

    /// Empties the prefix cache. The caller holds the engine permit.
    pub(super) async fn empty_cache(&self) -> Result<(), RoleError> {
        tracing::debug!(role = %self.role, bytes = self.cache.lock().bytes(), "emptying the prefix cache");
        let (response, mut answer) = mpsc::channel(4);
        let request = normal_request(vec![NO_TOKEN], response, None, self.vocabulary.sentinel());
        self.send(Request::Normal(Box::new(request))).await?;
        while answer.recv().await.is_some() {}
        self.cache.lock().clear();
        Ok(())
    }

    /// Prompt tokens that a request had to prefill.
    pub(super) fn prefilled(&self, prompt: &[u32], computed: usize) -> usize {
        match self.device {
            DeviceKind::Cpu => computed,
            DeviceKind::Gpu { block } => {
                let shared = self.cache.lock().longest_match(prompt).min(prompt.len().saturating_sub(1));
                prompt.len() - shared / block * block
            }
        }
    }
}

/// A request for the logits after every token of a prompt, without an answer.
pub(super) fn raw_request(prompt: Vec<u32>, response: mpsc::Sender<Response>, sentinel: u32) -> Request {
    let request = normal_request(prompt, response, None, sentinel);
    Request::Normal(Box::new(NormalRequest { is_streaming: false, return_raw_logits: true, ..request }))
}

pub(super) fn normal_request(
    prompt: Vec<u32>,
    response: mpsc::Sender<Response>,
    hook: Option<Arc<dyn CustomLogitsProcessor>>,
    sentinel: u32,
) -> NormalRequest {
    NormalRequest {
        messages: RequestMessage::CompletionTokens(prompt),
        // Greedy sampling of a one-hot row. The temperature must be set, because `None` means 1.0. A GGUF lists only
        // one of the model's end tokens, so the sentinel is set as a stop token too.
        sampling_params: SamplingParams {
            temperature: Some(0.0),
            stop_toks: Some(StopTokens::Ids(vec![sentinel])),
            ..SamplingParams::neutral()
        },
        response,
        return_logprobs: false,
        is_streaming: true,
        id: 0,
        constraint: Constraint::None,
        suffix: None,
        tools: None,
        tool_choice: None,
        logits_processors: hook.map(|hook| vec![hook]),
        return_raw_logits: false,
        web_search_options: None,
        model_id: None,
        truncate_sequence: false,
    }
}
