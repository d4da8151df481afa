//! A draft or a target on another machine, behind an engine that answers over HTTP.
//!
//! [`adapters`] knows what each engine's requests and replies look like and does no input or output. [`transport`] sends
//! requests, repeats those that may be repeated, and knows nothing about models.

pub mod adapters;
pub mod transport;
