//! The OpenAI endpoint with RSD behind it.
//!
//! | route | what |
//! |---|---|
//! | `POST /v1/chat/completions` | chat, streaming or not |
//! | `POST /v1/completions` | plain text, streaming or not |
//! | `GET /v1/models` | the names that answer: RSD, the target's own name (RSD too), `draft`, `target` |
//! | `GET /health`, `GET /` | alive |
//! | `GET /ready` | 200 while new requests are taken |
//! | `GET /metrics` | for Prometheus, unless switched off |
//! | `GET /v1/system/info` | mistral.rs's own route |
//!
//! mistral.rs's other routes are off: they can unload or re-quantise an engine, or run requests on it that RSD does
//! not know of.

mod account;
pub mod admin;
mod admission;
mod app;
mod auth;
mod error;
mod generate;
mod log;
mod parse;
mod request;
mod response;
mod routes;
mod run;
mod stream;

pub use app::App;
pub use auth::ApiKey;
pub use log::RequestLog;
pub use routes::router;
pub use run::{Drain, serve};
