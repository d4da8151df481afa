//! The OpenAI API: chat and plain completions that RSD answers.
//!
//! `request` parses a body, `resolve` applies the policy and the limits in effect, `generate` runs the answer on a task
//! of its own, and `response` and `stream` send it.

mod error;
mod generate;
mod request;
mod resolve;
mod response;
mod routes;
mod stream;
#[cfg(test)]
mod tests;
mod trace_schema;

pub(crate) use error::{ApiError, ApiErrorCode};
pub use routes::{RouterError, router};
