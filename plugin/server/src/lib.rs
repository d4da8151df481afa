//! The HTTP side of an RSD server: the OpenAI API ([`router`]), the [`admin`] API and the [`metrics`].
//!
//! It works on an [`Rsd`](rsd_core::pipeline::Rsd) and knows no inference engine. `docs/generated/openapi.json` and
//! `docs/generated/admin-openapi.json` describe every route.

pub mod admin;
mod admission;
mod app;
mod auth;
mod body_rules;
#[cfg(test)]
mod generated;
mod host_names;
mod json_body;
pub mod metrics;
mod openai;
mod openapi;
mod request_log;
mod request_timer;
mod serve;
mod unique_keys;

pub use app::AppState;
pub use auth::{ApiKey, KeyError};
pub use openai::{RouterError, router};
pub use request_log::RequestLog;
pub use serve::{DrainSettings, serve, serve_admin};
