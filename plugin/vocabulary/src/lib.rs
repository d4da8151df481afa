//! The tokens of a model: their bytes, its end tokens, control tokens and the tokenizer.
//!
//! Engines in this process and engines on other machines share it, so that a token means the same to both.

mod control_tokens;
mod vocabulary;

pub use control_tokens::{ControlMask, ControlTokens};
pub use vocabulary::Vocabulary;
