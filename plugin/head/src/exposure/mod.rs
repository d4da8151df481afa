//! Copies of safetensors checkpoints whose logits begin with the model's hidden state.
//!
//! mistral.rs returns logits and never hidden states. But `logits = W h`, with `h` the state after the final norm, so
//! rows of the identity in `W` make `h` itself part of the logits, where the sampler reads it. [`crate::gguf`] does the
//! same for GGUF files.

mod checkpoint;
mod error;
mod fetch;
mod safetensors;
mod tensors;
mod topology;
mod weights;

pub(crate) use self::{
    checkpoint::Checkpoint, fetch::local_folder, safetensors::expose_states, tensors::TensorFiles,
    topology::layers_only_topology, weights::WeightFile,
};
pub use self::{checkpoint::special_tokens, error::CheckpointError};
