//! What the server (`mistralrs-rsd`) and its console (`rsd-console`) share, and nothing else: the policy and the
//! other settings that can change while it serves, the wire types of the admin API, the names of the metrics.
//!
//! No mistral.rs here: a console builds in seconds.

pub mod error;
pub mod event;
pub mod live;
pub mod metrics;
pub mod policy;
pub mod preview;
pub mod queries;
pub mod routes;
pub mod status;
pub mod token_file;
pub mod trace;
