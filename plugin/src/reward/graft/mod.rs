//! Checkpoints whose output matrix yields the model's hidden state.
//!
//! mistral.rs returns logits, never states. But `logits = W h`, with `h` the state after the final norm: rows of the
//! identity in `W` make `h` itself part of the logits, where the sampler reads it.

mod gguf;

pub use gguf::with_state_rows;
