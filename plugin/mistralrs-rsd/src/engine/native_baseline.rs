//! mistral.rs's own greedy decoding, as a baseline.

use std::{sync::Arc, time::Instant};

use mistralrs_core::{NormalRequest, Request, Response, SamplingParams, StopTokens};
use tokio::sync::mpsc;

use super::{EngineCore, request::normal_request, run::engine_permit};
use rsd_core::pipeline::roles::RoleError;

/// What an answer cost that mistral.rs decoded without our sampler.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NativeBaseline {
    /// Tokens of the answer.
    pub tokens: usize,
    /// Seconds of decoding as measured by mistral.rs.
    pub decode_seconds: f64,
    /// Seconds from the request to the answer.
    pub seconds: f64,
}

pub(super) async fn answer(
    core: &Arc<EngineCore>,
    prompt: Vec<u32>,
    max_tokens: usize,
) -> Result<NativeBaseline, RoleError> {
    core.check_context(&prompt)?;
    let permit = engine_permit(core).await?;
    let core = core.clone();
    // On a task of its own, because a caller that gives up must not drop the channel on which mistral.rs answers.
    let answered = tokio::spawn(async move {
        let _permit = permit;
        let (response, mut answer) = mpsc::channel(4);
        let sentinel = core.vocabulary.sentinel();
        let base = normal_request(prompt, response, None, sentinel);
        let request = NormalRequest {
            is_streaming: false,
            sampling_params: SamplingParams {
                temperature: Some(0.0),
                stop_toks: Some(StopTokens::Ids(vec![sentinel])),
                max_len: Some(max_tokens),
                ..SamplingParams::neutral()
            },
            ..base
        };
        let began = Instant::now();
        core.send(Request::Normal(Box::new(request))).await?;
        let baseline = match answer.recv().await {
            Some(Response::CompletionDone(done)) => Ok(NativeBaseline {
                tokens: done.usage.completion_tokens,
                decode_seconds: done.usage.total_completion_time_sec.into(),
                seconds: began.elapsed().as_secs_f64(),
            }),
            Some(Response::InternalError(error) | Response::ValidationError(error)) => Err(core.failed(error)),
            _ => Err(core.failed("its answer is incomplete")),
        };
        // The mirror does not know what this request left in the prefix cache.
        core.empty_cache().await?;
        baseline
    });
    answered
        .await
        .unwrap_or_else(|error| Err(RoleError::Failed { role: "target".to_owned(), reason: error.to_string() }))
}
