//! mistral.rs as one would use it who does not know its traps, watched through a logits processor.

use std::sync::Arc;

use candle_core::Tensor;
use mistralrs_core::{
    CustomLogitsProcessor, MistralRs, NormalRequest, Request, RequestMessage, Response, SamplingParams,
};
use mistralrs_rsd::logits::argmax;
use parking_lot::Mutex;
use tokio::sync::mpsc::{Receiver, channel};

use crate::rig::{LONG, Rig};

/// What mistral.rs showed the processor in one call.
#[derive(Debug, Clone)]
pub struct Call {
    pub context: Vec<u32>,
    pub logits: Vec<f32>,
}

/// A greedy choice that forbids some tokens, follows a script as far as it goes, and writes down every call.
#[derive(Default)]
pub struct Spy {
    pub calls: Mutex<Vec<Call>>,
    forbidden: Vec<u32>,
    script: Vec<u32>,
    /// Leaves the choice to mistral.rs.
    passive: bool,
}

impl CustomLogitsProcessor for Spy {
    fn apply(&self, logits: &Tensor, context: &[u32]) -> candle_core::Result<Tensor> {
        let mut values = logits.flatten_all()?.to_vec1::<f32>()?;
        let mut calls = self.calls.lock();
        calls.push(Call { context: context.to_vec(), logits: values.clone() });
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

/// One raw request's story.
pub struct Told {
    pub calls: Vec<Call>,
    pub text: String,
}

impl Told {
    /// Tokens that were fed back: all sampled ones but the last.
    pub fn fed(&self) -> Vec<u32> {
        let first = self.calls[0].context.len();
        self.calls.last().unwrap().context[first..].to_vec()
    }

    /// Everything the sampler chose, were it greedy.
    pub fn chosen(&self, rig: &Rig) -> Vec<u32> {
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

pub async fn send(mistral: &MistralRs, request: NormalRequest) {
    let sender = mistral.get_sender(None).unwrap();
    assert!(sender.send(Request::Normal(Box::new(request))).await.is_ok(), "the engine's channel is closed");
}

/// Sends one request and sees it through.
pub async fn ask(rig: &Rig, prompt: &[u32], params: SamplingParams, script: &[u32]) -> Told {
    watch(rig, prompt, params, Spy { forbidden: rig.tiny.ends().to_vec(), script: script.to_vec(), ..Spy::default() })
        .await
}

/// The same with the choice left to mistral.rs.
pub async fn ask_passively(rig: &Rig, prompt: &[u32], params: SamplingParams) -> Told {
    watch(rig, prompt, params, Spy { forbidden: rig.tiny.ends().to_vec(), passive: true, ..Spy::default() }).await
}

async fn watch(rig: &Rig, prompt: &[u32], params: SamplingParams, spy: Spy) -> Told {
    let spy = Arc::new(spy);
    let (request, mut answers) = normal(prompt, params, Some(spy.clone()), true);
    send(&rig.engine.mistral(), request).await;
    let mut text = String::new();
    loop {
        match tokio::time::timeout(LONG, answers.recv()).await.expect("the raw request hangs") {
            Some(Response::CompletionChunk(chunk)) => {
                text.push_str(&chunk.choices[0].text);
                if chunk.choices[0].finish_reason.is_some() {
                    break;
                }
            }
            Some(_) => panic!("not a completion"),
            None => break,
        }
    }
    // A request that ends with its first token is run once more after its last chunk: wait for what comes then.
    while let Ok(Some(_)) = tokio::time::timeout(LONG, answers.recv()).await {}
    let calls = spy.calls.lock().clone();
    assert!(!calls.is_empty());
    Told { calls, text }
}
