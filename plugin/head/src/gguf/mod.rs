//! Rewritten copies of GGUF files, made once and cached beside the source: with tensor types that run fast on a CPU, or
//! with output rows that expose the hidden state.

mod append_rows;
mod chat_template;
mod cpu_types;
mod header_check;
mod manifest;
mod padding;
mod requantize;
mod rewrite;
mod state_rows;
#[cfg(test)]
mod test_files;
mod token_types;

pub use self::{
    chat_template::tokenizer_config,
    requantize::{requantized, verify_requantized},
    rewrite::{read_header, source_sha256},
    state_rows::{ExposedGguf, expose_states},
    token_types::user_defined_tokens,
};
