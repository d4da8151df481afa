//! Verifies proposed tokens: computes the logits after each of them in one forward pass, and picks the model's own tokens
//! from these.
//!
//! The logits of a prompt come from the kind of request that [`super::replay`] uses. It leaves nothing in the prefix
//! cache, so the prefix is put there first unless little of it is missing.

use std::sync::Arc;

use candle_core::DType;
use tokio_util::sync::CancellationToken;

use super::{DeviceKind, EngineCore, run::engine_permit, step_sampler::logprob_of, token_picker::TokenPicker};
use rsd_core::pipeline::roles::{RoleError, RunRequest, Verification};

/// Tokens at the end of the prefix that are computed again by each verification rather than put into the cache, which
/// takes a request of its own.
const UNCACHED_TOKENS: usize = 16;

pub(super) async fn verify(
    core: &Arc<EngineCore>,
    request: &RunRequest,
    proposal: &[u32],
) -> Result<Verification, RoleError> {
    let tokens = [&request.prefix, proposal].concat();
    core.check_context(&tokens)?;
    let Some(last) = request.prefix.len().checked_sub(1) else {
        return Err(RoleError::Invalid("tokens can only be verified after a prompt".to_owned()));
    };
    let permit = engine_permit(core).await?;
    let (core, request, proposal) = (core.clone(), request.clone(), proposal.to_vec());
    let gone = CancellationToken::new();
    let _waiting = gone.clone().drop_guard();
    // On a task of its own, because a caller that gives up must not drop the channel on which mistral.rs answers.
    let verified = tokio::spawn(async move {
        let _permit = permit;
        let mut verification = Verification::default();
        let cached = core.cache.lock().longest_match(&tokens);
        if last.saturating_sub(cached) > UNCACHED_TOKENS {
            let prefix = &tokens[..last];
            let windows = core.prefill_windows(prefix, false, || gone.is_cancelled()).await?;
            if windows.abandoned {
                return Err(core.failed("nobody waits for this verification any more"));
            }
            let computed = core.put_into_cache(prefix, false).await?.map_err(|reason| core.failed(reason))?;
            verification.computed += windows.computed + core.prefilled(prefix, computed);
        } else if core.device == DeviceKind::Cpu && cached > last {
            // An earlier answer went on with the same tokens. What the cache holds of the proposal has no logits.
            core.empty_cache().await?;
        }
        let (rows, hidden) = core.prompt_logits(&tokens).await?;
        verification.computed += tokens.len() - hidden;
        let mut picker = TokenPicker::new(&request);
        for (row, proposed) in (last..).zip(proposal.iter().map(Some).chain([None])) {
            let row = row.checked_sub(hidden).ok_or_else(|| core.failed("its cache held part of the proposal"))?;
            let logits = rows.get(row).and_then(|row| row.to_dtype(DType::F32)).and_then(|row| row.to_vec1());
            let mut logits: Vec<f32> =
                logits.map_err(|error| core.failed(format!("it returned logits of another form: {error}")))?;
            let unchanged = (request.logprobs.is_some() && picker.changes_logits()).then(|| logits.clone());
            let token = picker.pick(&mut logits);
            if core.vocabulary.is_end(token) {
                verification.ended = true;
                break;
            }
            let raw = unchanged.as_deref().unwrap_or(&logits);
            verification.logprobs.extend(request.logprobs.map(|top| logprob_of(token, raw, top)));
            verification.tokens.push(token);
            picker.add(token);
            if proposed != Some(&token) {
                break;
            }
        }
        Ok(verification)
    });
    verified
        .await
        .unwrap_or_else(|error| Err(RoleError::Failed { role: "target".to_owned(), reason: error.to_string() }))
}
