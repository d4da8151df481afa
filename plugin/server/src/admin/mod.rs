//! The admin API: settings that change while the server runs, predictions, traces and the audit log, on a listener of
//! its own.
//!
//! `routes` lists the routes; `docs/generated/admin-openapi.json` describes them. Every request passes `guard` first,
//! which checks host, origin and token. Every attempt to change something and every denied request is written to the
//! `audit` log.

mod audit;
mod error;
mod events;
mod guard;
mod handlers;
mod query;
mod routes;
mod tokens;
mod traces;

#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc};

use rsd_config::control::Control;
use rsd_core::prediction::StepRecorder;
use rsd_protocol::preview::UnitCosts;

pub use audit::AuditLog;
pub use routes::router;
pub use tokens::{AdminTokens, OwnedTokenFile, TokenError};
pub use traces::RecentTraces;

use crate::app::AppState;

/// The state that the handlers of the admin API share.
pub struct AdminState {
    /// The OpenAI API of the same server.
    pub app: Arc<AppState>,
    /// The runtime settings.
    pub control: Arc<Control>,
    /// The recorded steps that predictions are computed from.
    pub recorder: Arc<StepRecorder>,
    pub traces: Arc<RecentTraces>,
    pub tokens: AdminTokens,
    pub audit: AuditLog,
    /// Host names, besides `localhost`, under which clients may call the API.
    pub hosts: Vec<String>,
    /// Origins of the web pages that may call the API.
    pub origins: Vec<String>,
    /// Address of the OpenAI API.
    pub endpoint: String,
    /// The deployment file.
    pub file: Option<PathBuf>,
}

impl AdminState {
    fn costs(&self) -> UnitCosts {
        self.recorder.unit_costs()
    }
}
