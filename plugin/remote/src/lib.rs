//! A draft, a target or a reward model on another machine, behind an engine that answers over HTTP.
//!
//! [`adapters`] knows what each engine's requests and replies look like and does no input or output. [`transport`] sends
//! requests, repeats those that may be repeated, and knows nothing about models. [`RemoteModel`] is a
//! [`Generator`](rsd_core::pipeline::roles::Generator) on top of both, [`RemoteReader`] a
//! [`PromptReader`](rsd_core::pipeline::prompt_reader::PromptReader) for rewards.

pub mod adapters;
mod chat_prompt;
mod completion;
mod connect;
mod model;
mod pooled_rows;
mod reader;
mod remote_core;
mod run;
mod sent_prefixes;
#[cfg(test)]
mod tests;
pub mod transport;

pub use connect::{ConnectError, RemoteSettings};
pub use model::RemoteModel;
pub use reader::{ReaderTask, RemoteReader};
