//! The tokens of a model: their bytes, its end tokens, control tokens, the tokenizer and the chat template.
//!
//! Engines in this process and engines on other machines share it, so that a token means the same to both.

mod chat_template;
mod control_tokens;
mod vocabulary;

pub use chat_template::ChatTemplate;
pub use control_tokens::{ControlMask, ControlTokens};
pub use vocabulary::Vocabulary;
