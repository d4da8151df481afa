//! The door into mistral.rs's sampling: a logits processor that leaves the engine only one token to pick.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};
use mistralrs_core::CustomLogitsProcessor;
use parking_lot::Mutex;

use super::{threads, writer::Chooser};

/// Hands a request's logits to its [`Chooser`] and returns a one-hot tensor.
///
/// It never returns an error, which would cost the rest of a batch a token, and never panics, which would kill
/// the engine: whatever happens it ends the request with the sentinel.
pub(super) struct Hook<C> {
    chooser: Arc<Mutex<C>>,
    sentinel: u32,
}

impl<C: Chooser> Hook<C> {
    pub(super) fn new(chooser: Arc<Mutex<C>>, sentinel: u32) -> Self {
        Self { chooser, sentinel }
    }
}

impl<C: Chooser> CustomLogitsProcessor for Hook<C> {
    fn apply(&self, logits: &Tensor, context: &[u32]) -> Result<Tensor> {
        if logits.device().is_cpu() {
            threads::compute_here();
        }
        let read = logits.to_dtype(DType::F32).and_then(|l| l.flatten_all()).and_then(|l| l.to_vec1::<f32>());
        let (token, rows) = match read {
            Ok(mut values) => (self.chooser.lock().choose(&mut values, context.len()), values.len()),
            Err(error) => {
                tracing::error!(%error, "the logits could not be read; the request ends here");
                (self.sentinel, logits.elem_count())
            }
        };
        let mut one_hot = vec![f32::NEG_INFINITY; rows];
        if let Some(chosen) = one_hot.get_mut(token as usize) {
            *chosen = 1.0;
        }
        Tensor::from_vec(one_hot, rows, logits.device()).or_else(|_| Ok(logits.clone()))
    }
}
