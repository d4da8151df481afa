//! What the console knows and where its operator is. State takes messages and intents and gives back what is to be
//! sent; it neither fetches nor draws.

pub mod alerts;
pub mod app;
pub mod curve;
pub mod draft;
pub mod edit;
pub mod figures;
pub mod presets;
pub mod readings;
pub mod server;
pub mod settings;
