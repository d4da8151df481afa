//! What the server (`mistralrs-rsd`) and its console (`rsd-console`) share: the policy and the other settings that can
//! change while the server runs, the JSON types of the admin API, and the names of the metrics.
//!
//! The crate does not depend on mistral.rs, so that the console builds in seconds.

pub mod clock;
pub mod error;
pub mod event;
pub mod metrics;
pub mod policy;
pub mod preview;
pub mod queries;
pub mod routes;
pub mod settings;
pub mod status;
pub mod token_file;
pub mod trace;
