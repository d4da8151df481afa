//! Checkpoints whose output matrix yields the model's hidden state.
//!
//! mistral.rs returns logits, never states. But `logits = W h`, with `h` the state after the final norm: rows of the
//! identity in `W` make `h` itself part of the logits, where the sampler reads it.

mod checkpoint;
mod error;
mod fetch;
mod gguf;
mod safetensors;
mod tensors;
mod topology;
mod weights;

pub use checkpoint::{Checkpoint, specials};
pub use error::GraftError;
pub use fetch::local_folder;
pub use gguf::with_state_rows;
pub use safetensors::{Grafted, grafted};
pub use tensors::Tensors;
pub use topology::layers_only;
