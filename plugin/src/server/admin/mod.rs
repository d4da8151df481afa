//! The operator's side: an API on a listener of its own.
//!
//! | route | what |
//! |---|---|
//! | `GET, PATCH /admin/v1/policy` | the hot settings; a change needs `If-Match`, `?dry_run=true` only says what it would do |
//! | `GET /admin/v1/policy/history` | revisions, newest first |
//! | `POST /admin/v1/policy/rollback` | back to an earlier revision, as a new one |
//! | `POST /admin/v1/policy/persist` | write what changed at run time into the deployment file |
//! | `POST /admin/v1/policy/keep` | keep changes that would be taken back |
//! | `POST /admin/v1/reload` | read the deployment file again |
//! | `GET /admin/v1/preview` | acceptance, speed-up and FLOPs over delta |
//! | `GET /admin/v1/status` | what runs, and how |
//! | `GET /admin/v1/traces`, `/{id}` | recent requests, step by step |
//! | `GET /admin/v1/audit` | recent attempts, the denied too |
//! | `GET /admin/v1/events` | what happens, as it happens (server-sent events) |
//! | `GET /admin/v1/openapi.json` | all this for machines |
//!
//! Every request passes the [`guard`] first: host, origin, token. Every attempt to change something and every denied
//! request is written to the [`audit`].

mod audit;
mod error;
mod events;
mod guard;
mod handlers;
mod openapi;
mod query;
mod routes;
mod tokens;
mod traces;

#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc};

use rsd_protocol::preview::UnitCosts;

pub use audit::Audit;
pub use routes::{Endpoint, endpoints, router};
pub use tokens::{TokenError, Tokens};
pub use traces::RecentTraces;

use super::app::App;
use crate::{control::Control, prediction::Recorder};

/// What every admin handler shares.
pub struct Admin {
    /// The server that is administered.
    pub app: Arc<App>,
    /// Its live settings.
    pub control: Arc<Control>,
    /// What it saw, for predictions.
    pub recorder: Arc<Recorder>,
    /// Recent requests.
    pub traces: Arc<RecentTraces>,
    /// Who may do what.
    pub tokens: Tokens,
    /// Attempts.
    pub audit: Audit,
    /// Host names it may be called under.
    pub hosts: Vec<String>,
    /// Origins of web pages that may call it.
    pub origins: Vec<String>,
    /// Address of the OpenAI endpoint.
    pub endpoint: String,
    /// The deployment file.
    pub file: Option<PathBuf>,
}

impl Admin {
    fn costs(&self) -> UnitCosts {
        self.recorder.costs()
    }
}
