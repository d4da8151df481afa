//! Takes over mistral.rs's sampling with a logits processor that leaves only one token to sample.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};
use mistralrs_core::CustomLogitsProcessor;
use parking_lot::Mutex;

use super::{step_sampler::TokenSelector, threads};

/// Passes the logits of a request to its [`TokenSelector`] and returns a one-hot tensor.
///
/// It never returns an error, because that would cost the rest of a batch a token, and never panics, because that would
/// kill the engine thread. If anything fails it ends the request with the sentinel.
pub(super) struct SamplerHook<C> {
    selector: Arc<Mutex<C>>,
    sentinel: u32,
}

impl<C: TokenSelector> SamplerHook<C> {
    pub(super) fn new(selector: Arc<Mutex<C>>, sentinel: u32) -> Self {
        Self { selector, sentinel }
    }
}

impl<C: TokenSelector> CustomLogitsProcessor for SamplerHook<C> {
    fn apply(&self, logits: &Tensor, context: &[u32]) -> Result<Tensor> {
        if logits.device().is_cpu() {
            threads::compute_here();
        }
        let values = logits.to_dtype(DType::F32).and_then(|l| l.flatten_all()).and_then(|l| l.to_vec1::<f32>());
        let (token, rows) = match values {
            Ok(mut values) => (self.selector.lock().select(&mut values, context.len()), values.len()),
            Err(error) => {
                tracing::error!(%error, "the logits could not be read, so the request ends here");
                (self.sentinel, logits.elem_count())
            }
        };
        let mut one_hot = vec![f32::NEG_INFINITY; rows];
        if let Some(selected) = one_hot.get_mut(token as usize) {
            *selected = 1.0;
        }
        Tensor::from_vec(one_hot, rows, logits.device()).or_else(|_| Ok(logits.clone()))
    }
}
