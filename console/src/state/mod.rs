//! What the console knows and what its user is looking at. The state takes messages and user intents and returns what
//! has to be sent; it neither fetches nor draws.

pub mod alerts;
pub mod app;
pub mod change_dialog;
pub mod comparison;
pub mod curve;
pub mod fleet_change;
pub mod headline;
pub mod metric_history;
pub mod pending_change;
pub mod presets;
pub mod proposal;
pub mod remote_engine;
pub mod server;
pub mod settings;
pub mod summary;
