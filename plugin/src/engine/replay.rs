//! Reading an answer that is already written: every state and log-probability of it in one forward pass.
//!
//! mistral.rs can return the logits of a whole prompt, but only of the part that no cache held. So the prefix cache
//! is emptied first where that can be done. Such a request leaves no key behind.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use mistralrs_core::Response;
use tokio::sync::mpsc;

use super::{
    DeviceKind, Inner,
    gate::Gate,
    request::raw_request,
    run::lease,
    writer::{Chooser, Event, Writer},
};
use crate::pipeline::roles::{RoleError, RunRequest, Step};

pub(super) async fn replay(inner: &Arc<Inner>, request: RunRequest, answer: Vec<u32>) -> Result<Vec<Step>, RoleError> {
    let mut tokens = request.prefix.clone();
    tokens.extend_from_slice(&answer);
    inner.check_context(&tokens)?;
    let Some(first) = request.prefix.len().checked_sub(1) else {
        return Err(RoleError::Invalid("an answer to be read needs a prompt before it".to_owned()));
    };
    let permit = lease(inner).await?;
    let inner = inner.clone();
    // On a task of its own: a caller that gives up must not drop the engine's receiver.
    let read = tokio::spawn(async move {
        let _permit = permit;
        let (rows, hidden) = inner.all_logits(tokens).await?;
        let first = first.checked_sub(hidden).ok_or_else(|| inner.failed("a cache hides the answer's first states"))?;
        let (events, mut steps) = mpsc::unbounded_channel();
        let gate = Arc::new(Gate::default());
        let request = RunRequest { lookahead: usize::MAX, max_steps: None, ..request };
        let mut writer = Writer::new(request, inner.vocabulary.clone(), gate, events, inner.states);
        writer.follow(answer);
        for row in first.. {
            let output = rows.get(row).and_then(|row| row.to_dtype(DType::F32)).and_then(|row| row.to_vec1::<f32>());
            let mut output = output.map_err(|error| inner.failed(format!("it returned other logits: {error}")))?;
            writer.choose(&mut output, 0);
            if writer.ended() {
                break;
            }
        }
        let mut read = Vec::new();
        while let Ok(Event::Step(step)) = steps.try_recv() {
            read.push(step);
        }
        Ok(read)
    });
    read.await.unwrap_or_else(|error| Err(RoleError::Failed { role: "draft".to_owned(), reason: error.to_string() }))
}

impl Inner {
    /// The logits after every token of a prompt but the first few that a cache hides: a tensor of shape
    /// `[tokens - hidden, rows of the output matrix]`, and `hidden`. The caller holds the lease.
    async fn all_logits(&self, prompt: Vec<u32>) -> Result<(Tensor, usize), RoleError> {
        if self.device == DeviceKind::Cpu {
            self.empty_cache().await?;
        }
        let (response, mut answers) = mpsc::channel(4);
        let length = prompt.len();
        self.send(raw_request(prompt, response, self.vocabulary.sentinel)).await?;
        let answer = answers.recv().await;
        // The engine runs one decode more before it is done with the request.
        while answers.recv().await.is_some() {}
        let chunks = match answer {
            Some(Response::Raw { logits_chunks, .. }) => logits_chunks,
            Some(Response::InternalError(error) | Response::ValidationError(error)) => return Err(self.failed(error)),
            Some(Response::CompletionModelError(error, _)) => return Err(self.failed(error)),
            Some(_) => return Err(self.failed("it answered with something else than logits")),
            None => return Err(self.failed("its engine ended in the middle of a request")),
        };
        let rows = Tensor::cat(&chunks, 0).map_err(|error| self.failed(error))?;
        match rows.dims() {
            &[found, _] if (1..=length).contains(&found) => Ok((rows, length - found)),
            shape => Err(self.failed(format!("it returned logits of shape {shape:?} for {length} tokens"))),
        }
    }
}
