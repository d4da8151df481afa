//! Plain use of mistral.rs, without the work-arounds, observed through a logits processor.

use std::sync::Arc;

use candle_core::Tensor;
use either::Either;
use indexmap::IndexMap;
use mistralrs_core::{
    CustomLogitsProcessor, MistralRs, NormalRequest, Request, RequestMessage, Response, SamplingParams,
    TokenizationRequest,
};
use parking_lot::Mutex;
use rsd_core::logits::argmax;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::test_engine::{LONG, TestEngine};

/// The arguments of one call of the processor.
#[derive(Debug, Clone)]
pub struct SamplerCall {
    pub context: Vec<u32>,
    pub logits: Vec<f32>,
}

/// A logits processor that chooses the tokens of `script`, then greedily without the forbidden tokens, and records
/// each call.
#[derive(Default)]
pub struct SpyProcessor {
    pub calls: Mutex<Vec<SamplerCall>>,
    forbidden: Vec<u32>,
    script: Vec<u32>,
    /// Leave the choice to mistral.rs.
    passive: bool,
}

impl CustomLogitsProcessor for SpyProcessor {
    fn apply(&self, logits: &Tensor, context: &[u32]) -> candle_core::Result<Tensor> {
        let mut values = logits.flatten_all()?.to_vec1::<f32>()?;
        let mut calls = self.calls.lock();
        calls.push(SamplerCall { context: context.to_vec(), logits: values.clone() });
        for id in &self.forbidden {
            values[*id as usize] = f32::NEG_INFINITY;
        }
        if !self.passive {
            let choice = self.script.get(calls.len() - 1).copied().unwrap_or_else(|| argmax(&values));
            values.fill(f32::NEG_INFINITY);
            values[choice as usize] = 1.0;
        }
        Tensor::from_vec(values, logits.dims(), logits.device())
    }
}

/// The recorded calls and the text of one request.
pub struct RawRun {
    pub calls: Vec<SamplerCall>,
    pub text: String,
}

impl RawRun {
    /// Tokens that were fed back to the model: all sampled ones but the last.
    pub fn fed(&self) -> Vec<u32> {
        let first = self.calls[0].context.len();
        self.calls.last().unwrap().context[first..].to_vec()
    }

    /// All tokens that a greedy sampler chose.
    pub fn chosen(&self, rig: &TestEngine) -> Vec<u32> {
        let mut ids = self.fed();
        let mut last = self.calls.last().unwrap().logits.clone();
        for id in rig.tiny.ends() {
            last[id as usize] = f32::NEG_INFINITY;
        }
        ids.push(argmax(&last));
        ids
    }
}

pub fn greedy(max_len: usize) -> SamplingParams {
    SamplingParams { temperature: Some(0.0), max_len: Some(max_len), ..SamplingParams::neutral() }
}

pub fn normal(
    prompt: &[u32],
    params: SamplingParams,
    spy: Option<Arc<dyn CustomLogitsProcessor>>,
    is_streaming: bool,
) -> (NormalRequest, Receiver<Response>) {
    let (sender, receiver) = channel(1024);
    let mut request =
        NormalRequest::new_simple(RequestMessage::CompletionTokens(prompt.to_vec()), params, sender, 0, None, None);
    request.is_streaming = is_streaming;
    request.logits_processors = spy.map(|spy| vec![spy]);
    (request, receiver)
}

/// A request to render one message of a user and to tokenize the result.
pub fn tokenization(content: &str, response: Sender<anyhow::Result<Vec<u32>>>) -> TokenizationRequest {
    let message = [("role", "user"), ("content", content)];
    let message: IndexMap<_, _> =
        message.into_iter().map(|(key, value)| (key.to_owned(), Either::Left(value.to_owned()))).collect();
    TokenizationRequest {
        text: Either::Left(vec![message]),
        tools: None,
        add_generation_prompt: true,
        add_special_tokens: true,
        enable_thinking: None,
        reasoning_effort: None,
        response,
    }
}

/// The token ids that mistral.rs makes of one message of a user.
pub async fn tokenize(mistral: &MistralRs, content: &str) -> Vec<u32> {
    let (response, mut answer) = channel(1);
    let sender = mistral.get_sender(None).unwrap();
    assert!(sender.send(Request::Tokenize(tokenization(content, response))).await.is_ok());
    tokio::time::timeout(LONG, answer.recv()).await.unwrap().unwrap().unwrap()
}

pub async fn send(mistral: &MistralRs, request: NormalRequest) {
    let sender = mistral.get_sender(None).unwrap();
    assert!(sender.send(Request::Normal(Box::new(request))).await.is_ok(), "the engine's channel is closed");
}

/// Runs one request to its end, choosing the tokens of `script` and then greedily.
pub async fn ask(rig: &TestEngine, prompt: &[u32], params: SamplingParams, script: &[u32]) -> RawRun {
    watch(
        rig,
        prompt,
        params,
        SpyProcessor { forbidden: rig.tiny.ends().to_vec(), script: script.to_vec(), ..SpyProcessor::default() },
    )
    .await
}

/// The same, but mistral.rs chooses the tokens.
pub async fn ask_passively(rig: &TestEngine, prompt: &[u32], params: SamplingParams) -> RawRun {
    watch(
        rig,
        prompt,
        params,
        SpyProcessor { forbidden: rig.tiny.ends().to_vec(), passive: true, ..SpyProcessor::default() },
    )
    .await
}

async fn watch(rig: &TestEngine, prompt: &[u32], params: SamplingParams, spy: SpyProcessor) -> RawRun {
    let spy = Arc::new(spy);
    let (request, mut answers) = normal(prompt, params, Some(spy.clone()), true);
    send(&rig.engine.mistral(), request).await;
    let mut text = String::new();
    loop {
        match tokio::time::timeout(LONG, answers.recv()).await.expect("the request hangs") {
            Some(Response::CompletionChunk(chunk)) => {
                text.push_str(&chunk.choices[0].text);
                if chunk.choices[0].finish_reason.is_some() {
                    break;
                }
            }
            Some(_) => panic!("the response is not a completion"),
            None => break,
        }
    }
    // A request that ends with its first token is run once more after its last chunk (trap C): wait for that.
    while let Ok(Some(_)) = tokio::time::timeout(LONG, answers.recv()).await {}
    let calls = spy.calls.lock().clone();
    assert!(!calls.is_empty());
    RawRun { calls, text }
}
