//! mistral.rs's own greedy decoding, to compare with.

use std::{sync::Arc, time::Instant};

use mistralrs_core::{NormalRequest, Request, Response, SamplingParams, StopTokens};
use tokio::sync::mpsc;

use super::{Inner, request::normal_request, run::lease};
use crate::pipeline::roles::RoleError;

/// What a request cost that nothing of ours took part in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stock {
    /// Tokens written.
    pub tokens: usize,
    /// Seconds of decoding, by mistral.rs's own clock.
    pub decode_seconds: f64,
    /// Seconds in all.
    pub seconds: f64,
}

pub(super) async fn answer(inner: &Arc<Inner>, prompt: Vec<u32>, max_tokens: usize) -> Result<Stock, RoleError> {
    inner.check_context(&prompt)?;
    let permit = lease(inner).await?;
    let inner = inner.clone();
    // On a task of its own: a caller that gives up must not drop the engine's receiver.
    let asked = tokio::spawn(async move {
        let _permit = permit;
        let (response, mut answer) = mpsc::channel(4);
        let sentinel = inner.vocabulary.sentinel;
        let ours = normal_request(prompt, response, None, sentinel);
        let request = NormalRequest {
            is_streaming: false,
            sampling_params: SamplingParams {
                temperature: Some(0.0),
                stop_toks: Some(StopTokens::Ids(vec![sentinel])),
                max_len: Some(max_tokens),
                ..SamplingParams::neutral()
            },
            ..ours
        };
        let began = Instant::now();
        inner.send(Request::Normal(Box::new(request))).await?;
        let stock = match answer.recv().await {
            Some(Response::CompletionDone(done)) => Ok(Stock {
                tokens: done.usage.completion_tokens,
                decode_seconds: done.usage.total_completion_time_sec.into(),
                seconds: began.elapsed().as_secs_f64(),
            }),
            Some(Response::InternalError(error) | Response::ValidationError(error)) => Err(inner.failed(error)),
            _ => Err(inner.failed("it gave no whole answer")),
        };
        // What it left in the prefix cache is not in our account of it.
        inner.empty_cache().await?;
        stock
    });
    asked.await.unwrap_or_else(|error| Err(RoleError::Failed { role: "target".to_owned(), reason: error.to_string() }))
}
