//! Replays a given answer: computes its hidden states and log-probabilities, many tokens per forward pass.
//!
//! mistral.rs can return the logits of a whole prompt, but only of the part that no cache held. So the prefix cache is
//! emptied first where that is possible. Such a request leaves no key in the cache.
//!
//! A row of logits is as wide as the vocabulary, and 4096 rows would take gigabytes. So a long answer is processed in
//! windows, and before each window an ordinary request puts everything before it into the cache.

use std::{ops::Range, sync::Arc};

use candle_core::{DType, Tensor};
use mistralrs_core::Response;
use tokio::sync::mpsc;

use super::{
    DeviceKind, EngineCore,
    gate::StepGate,
    request::raw_request,
    run::engine_permit,
    step_sampler::{RunEvent, StepSampler, TokenSelector},
};
use rsd_core::pipeline::roles::{RoleError, RunRequest, Step};

/// Tokens whose logits are returned by one request.
const WINDOW: usize = 512;

pub(super) async fn replay(
    core: &Arc<EngineCore>,
    request: RunRequest,
    answer: Vec<u32>,
) -> Result<Vec<Step>, RoleError> {
    let mut tokens = request.prefix.clone();
    tokens.extend_from_slice(&answer);
    core.check_context(&tokens)?;
    let Some(first) = request.prefix.len().checked_sub(1) else {
        return Err(RoleError::Invalid("an answer can only be replayed after a prompt".to_owned()));
    };
    let permit = engine_permit(core).await?;
    let core = core.clone();
    // On a task of its own, because a caller that gives up must not drop the channel on which mistral.rs answers.
    let replayed = tokio::spawn(async move {
        let _permit = permit;
        let (events, mut steps) = mpsc::unbounded_channel();
        let gate = Arc::new(StepGate::default());
        let request = RunRequest { lookahead: usize::MAX, max_steps: None, ..request };
        let mut sampler = StepSampler::new(request, core.vocabulary.clone(), gate, events, core.states);
        sampler.follow(answer);
        for window in windows(first..tokens.len()) {
            if sampler.ended() {
                break;
            }
            let (rows, hidden) = core.logits_from(window.start, &tokens[..window.end]).await?;
            for row in window {
                let row = row.checked_sub(hidden).ok_or_else(|| {
                    core.failed("its prefix cache held part of the answer, so the answer's states were not computed")
                })?;
                let output = rows.get(row).and_then(|row| row.to_dtype(DType::F32)).and_then(|row| row.to_vec1());
                let mut output: Vec<f32> =
                    output.map_err(|error| core.failed(format!("it returned logits of another form: {error}")))?;
                sampler.select(&mut output, 0);
                if sampler.ended() {
                    break;
                }
            }
        }
        let mut replayed = Vec::new();
        while let Ok(RunEvent::Step(step)) = steps.try_recv() {
            replayed.push(step);
        }
        Ok(replayed)
    });
    replayed
        .await
        .unwrap_or_else(|error| Err(RoleError::Failed { role: "draft".to_owned(), reason: error.to_string() }))
}

/// Splits a range into parts of at most [`WINDOW`].
fn windows(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(WINDOW).map(move |start| start..range.end.min(start + WINDOW))
}

impl EngineCore {
    /// Returns the logits after every token of a prompt that no cache held, at least from token `from` on: a tensor
    /// of shape `[tokens - hidden, rows of the output matrix]`, and `hidden`, the number of tokens that the cache
    /// held. The caller holds the engine permit.
    async fn logits_from(&self, from: usize, prompt: &[u32]) -> Result<(Tensor, usize), RoleError> {
        // A prompt shorter than a window is computed as a whole.
        let hide = from >= WINDOW;
        if hide {
            self.put_into_cache(&prompt[..from], false).await?.map_err(|reason| self.failed(reason))?;
        }
        if self.device == DeviceKind::Cpu && !hide {
            self.empty_cache().await?;
        }
        self.prompt_logits(prompt).await
    }

    /// Returns the logits after every token of a prompt that no cache held, as [`Self::logits_from`].
    pub(super) async fn prompt_logits(&self, prompt: &[u32]) -> Result<(Tensor, usize), RoleError> {
        if self.device == DeviceKind::Cpu && self.cache.lock().must_empty_before(prompt, false) {
            self.empty_cache().await?;
        }
        let (response, mut answers) = mpsc::channel(4);
        let length = prompt.len();
        self.send(raw_request(prompt.to_vec(), response, self.vocabulary.sentinel())).await?;
        let answer = answers.recv().await;
        // The engine runs one more decode step before it finishes the request.
        while answers.recv().await.is_some() {}
        let chunks = match answer {
            Some(Response::Raw { logits_chunks, .. }) => logits_chunks,
            Some(Response::InternalError(error) | Response::ValidationError(error)) => return Err(self.failed(error)),
            Some(Response::CompletionModelError(error, _)) => return Err(self.failed(error)),
            Some(_) => return Err(self.failed("it answered with something other than logits")),
            None => return Err(self.failed("its engine died in the middle of a request")),
        };
        let rows = Tensor::cat(&chunks, 0).map_err(|error| self.failed(error))?;
        match rows.dims() {
            &[found, _] if (1..=length).contains(&found) => Ok((rows, length - found)),
            shape => Err(self.failed(format!("it returned logits of shape {shape:?} for {length} tokens"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_a_range_once_and_are_never_longer_than_they_may() {
        for range in [0..1, 3..3 + WINDOW, 7..8 + WINDOW, 100..5000] {
            let parts: Vec<_> = windows(range.clone()).collect();
            assert!(parts.iter().all(|part| (1..=WINDOW).contains(&part.len())));
            assert_eq!(parts.into_iter().flatten().collect::<Vec<_>>(), range.collect::<Vec<_>>());
        }
    }
}
