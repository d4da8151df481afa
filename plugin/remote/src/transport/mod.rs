//! Sends requests to an engine.

use serde_json::Value;

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
