//! The OpenAI API: chat and plain completions that RSD answers.
//!
//! `request` parses a body (`body_fields`, `field_lists`, `messages`), `resolve` applies the policy and the limits in
//! effect, `generate` runs the answers on a task of its own, and `response` and `stream` send them (`logprobs`,
//! `usage`).

mod body_fields;
mod error;
mod field_lists;
mod generate;
mod logprobs;
mod messages;
mod models;
mod request;
mod resolve;
mod response;
mod routes;
mod stream;
#[cfg(test)]
mod tests;
mod trace_schema;
mod usage;

pub(crate) use error::{ApiError, ApiErrorCode};
pub use routes::{RouterError, router};
