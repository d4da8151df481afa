//! Reading an answer that is already written: every state and log-probability of it, many tokens to a forward pass.
//!
//! mistral.rs can return the logits of a whole prompt, but only of the part that no cache held. So the prefix cache
//! is emptied first where that can be done. Such a request leaves no key behind.
//!
//! A row of logits is as wide as the vocabulary: 4096 of them would take gigabytes. So a long answer is read in windows,
//! and before each one an ordinary request puts all that comes before it into the cache.

use std::{ops::Range, sync::Arc};

use candle_core::{DType, Tensor};
use mistralrs_core::Response;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{
    DeviceKind, Inner,
    gate::Gate,
    reader::{Reader, Wanted},
    request::{Exchange, raw_request},
    run::lease,
    writer::{Chooser, Event, Writer},
};
use crate::pipeline::roles::{RoleError, RunRequest, Step};

/// Tokens whose logits are read at once.
const WINDOW: usize = 512;

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
        let (events, mut steps) = mpsc::unbounded_channel();
        let gate = Arc::new(Gate::default());
        let request = RunRequest { lookahead: usize::MAX, max_steps: None, ..request };
        let mut writer = Writer::new(request, inner.vocabulary.clone(), gate, events, inner.states);
        writer.follow(answer);
        for window in windows(first..tokens.len()) {
            if writer.ended() {
                break;
            }
            let (rows, hidden) = inner.logits_from(window.start, &tokens[..window.end]).await?;
            for row in window {
                let row = row.checked_sub(hidden).ok_or_else(|| inner.failed("a cache hides the answer's states"))?;
                let output = rows.get(row).and_then(|row| row.to_dtype(DType::F32)).and_then(|row| row.to_vec1());
                let mut output: Vec<f32> =
                    output.map_err(|error| inner.failed(format!("it returned other logits: {error}")))?;
                writer.choose(&mut output, 0);
                if writer.ended() {
                    break;
                }
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

/// A range in parts of a window's length.
fn windows(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    range.clone().step_by(WINDOW).map(move |start| start..range.end.min(start + WINDOW))
}

impl Inner {
    /// The logits after every token of a prompt but the first few that a cache hides, at least those from `from` on: a
    /// tensor of shape `[tokens - hidden, rows of the output matrix]`, and `hidden`. The caller holds the lease.
    async fn logits_from(&self, from: usize, prompt: &[u32]) -> Result<(Tensor, usize), RoleError> {
        // Less than a window need not be hidden.
        let hide = from >= WINDOW;
        if hide {
            self.put_into_cache(&prompt[..from]).await?;
        }
        if self.device == DeviceKind::Cpu && (!hide || self.cache.lock().must_empty_before(prompt, false)) {
            self.empty_cache().await?;
        }
        let (response, mut answers) = mpsc::channel(4);
        let length = prompt.len();
        self.send(raw_request(prompt.to_vec(), response, self.vocabulary.sentinel)).await?;
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

    /// Runs a request that leaves these tokens in the prefix cache. The caller holds the lease.
    async fn put_into_cache(&self, tokens: &[u32]) -> Result<(), RoleError> {
        let Some((&last, head)) = tokens.split_last() else { return Ok(()) };
        let reader = Reader::new(last, Wanted::Tokens(Vec::new()), self.vocabulary.sentinel);
        match self.exchange(head.to_vec(), &Arc::new(Mutex::new(reader)), false).await? {
            Exchange::Ended => Ok(()),
            Exchange::Died(reason) | Exchange::Failed(reason) => Err(self.failed(reason)),
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
