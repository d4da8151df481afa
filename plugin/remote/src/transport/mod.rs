//! Sends requests to an engine: failover between its addresses, time-outs, bounded retries, streams of events.
//!
//! It knows nothing about models. A request is repeated only before a part of its reply was handed to the caller, so
//! nothing arrives twice.

mod breaker;
mod client;
mod endpoint;
mod error;
mod event_stream;
mod retry_budget;
mod settings;
mod traffic;

use serde_json::Value;

pub use client::EngineClient;
pub use error::{TimeoutPhase, TransportError};
pub use event_stream::EventStream;
pub use settings::TransportSettings;

/// A request to an engine, without the address and the key of the engine.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineRequest {
    /// `GET` without a body, `POST` with one.
    pub body: Option<Value>,
    /// The path below the engine's base URL, such as `/v1/completions`.
    pub path: &'static str,
    /// Headers of this request alone, such as the session.
    pub headers: Vec<(&'static str, String)>,
}
