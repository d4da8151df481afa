//! One exchange with the engine's thread: send, wait for the end, notice a death, empty the cache.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use mistralrs_core::{
    Constraint, CustomLogitsProcessor, NormalRequest, Request, RequestMessage, Response, SamplingParams, StopTokens,
};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{DeviceKind, Inner, hook::Hook, writer::Chooser};
use crate::pipeline::roles::RoleError;

/// A token id no vocabulary has. A prompt of it fails in the embedding look-up, and a failed forward makes
/// mistral.rs drop its whole prefix cache: the one way to empty it that costs nothing and leaks nothing
/// (terminating the engine leaves a sleeping logger thread behind each time).
/// `u32::MAX` itself is candle's own padding mark and would not fail.
const NO_TOKEN: u32 = u32::MAX - 1;

/// How an exchange ended.
pub(super) enum Exchange {
    /// The chooser ended it.
    Ended,
    /// The engine's thread died.
    Died(String),
    /// The engine answered with an error.
    Failed(String),
}

impl Inner {
    /// Sends to the engine's thread, which mistral.rs starts anew when it has died.
    pub(super) async fn send(&self, request: Request) -> Result<(), RoleError> {
        let mut request = request;
        // A dead thread is replaced once it has unwound; until then the old channel is handed out, closed.
        for _ in 0..250 {
            let sender = self.mistral.get_sender(None).map_err(|error| self.failed(error))?;
            match sender.send(request).await {
                Ok(()) => return Ok(()),
                Err(mpsc::error::SendError(back)) => request = back,
            }
            self.cache.lock().clear();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(self.failed("its engine ended and did not come back within 5 seconds"))
    }

    /// Runs one request until its chooser ends it. The caller holds the lease.
    pub(super) async fn exchange<C: Chooser + 'static>(
        &self,
        prompt: Vec<u32>,
        chooser: &Arc<Mutex<C>>,
        begins: bool,
    ) -> Result<Exchange, RoleError> {
        let begins = self.begins.swap(false, Ordering::Relaxed) || begins;
        self.make_room(&prompt, begins).await?;
        let hook: Arc<dyn CustomLogitsProcessor> = Arc::new(Hook::new(chooser.clone(), self.vocabulary.sentinel));
        let (response, mut answers) = mpsc::channel(64);
        let request = normal_request(prompt.clone(), response, Some(hook), self.vocabulary.sentinel);
        self.send(Request::Normal(Box::new(request))).await?;

        // The receiver is held to the end: cancellation goes through the sampler, which leaves the cache whole.
        let mut failure = None;
        while let Some(answer) = answers.recv().await {
            match answer {
                Response::CompletionChunk(chunk) if chunk.choices.iter().all(|c| c.finish_reason.is_none()) => {}
                Response::CompletionChunk(_) | Response::CompletionDone(_) => break,
                Response::InternalError(error) | Response::ValidationError(error) => failure = Some(error.to_string()),
                Response::CompletionModelError(error, _) => failure = Some(error),
                _ => failure = Some("the engine answered with something else than a completion".to_owned()),
            }
            if failure.is_some() {
                break;
            }
        }
        drop(answers);

        if let Some(reason) = failure {
            // A failed forward empties the prefix cache.
            self.cache.lock().clear();
            return Ok(Exchange::Failed(reason));
        }
        let chooser = chooser.lock();
        if !chooser.ended() {
            self.cache.lock().clear();
            return Ok(Exchange::Died("its engine ended in the middle of a request".to_owned()));
        }
        self.remember(prompt, &*chooser);
        Ok(Exchange::Ended)
    }

    /// Notes the key(s) that an ended request leaves in the prefix cache.
    fn remember(&self, mut key: Vec<u32>, chooser: &impl Chooser) {
        key.extend_from_slice(chooser.fed());
        key.push(self.vocabulary.sentinel);
        let mut cache = self.cache.lock();
        // A request that ends with its first token is run, and remembered, once more by a CPU engine.
        if chooser.fed().is_empty() && self.device == DeviceKind::Cpu {
            let mut again = key.clone();
            again.push(self.vocabulary.sentinel);
            cache.insert(again);
        }
        cache.insert(key);
    }

    /// Empties a CPU engine's prefix cache where it would do harm or is over its budget.
    async fn make_room(&self, prompt: &[u32], begins: bool) -> Result<(), RoleError> {
        if self.device != DeviceKind::Cpu || !self.cache.lock().must_empty_before(prompt, begins) {
            return Ok(());
        }
        self.empty_cache().await
    }

    /// Empties the prefix cache. The caller holds the lease.
    pub(super) async fn empty_cache(&self) -> Result<(), RoleError> {
        tracing::debug!(role = %self.role, bytes = self.cache.lock().bytes(), "emptying the prefix cache");
        let (response, mut answer) = mpsc::channel(4);
        let request = normal_request(vec![NO_TOKEN], response, None, self.vocabulary.sentinel);
        self.send(Request::Normal(Box::new(request))).await?;
        while answer.recv().await.is_some() {}
        self.cache.lock().clear();
        Ok(())
    }

    /// Prompt tokens a request had to compute.
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

/// Asks for the logits after every token of a prompt, and for no answer.
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
        // Greedy over a one-hot: temperature must be given, for `None` means 1.0. A GGUF lists only one of the
        // model's end tokens, so the sentinel is named as a stop token too.
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
