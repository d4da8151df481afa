//! Rewritten copies of GGUF files, made once and cached beside the source: with tensor types that run fast on a CPU, or
//! with output rows that expose the hidden state.

mod manifest;
mod requantize;
mod rewrite;
mod state_rows;

pub use self::{
    requantize::{requantized, verify_requantized},
    rewrite::source_sha256,
    state_rows::{ExposedGguf, expose_states},
};
