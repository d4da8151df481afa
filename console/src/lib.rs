//! The operator's terminal of mistralrs-rsd: whether RSD pays, at a glance, and its thresholds, with confidence.
//!
//! Sources fetch and never draw, state holds and does neither, views draw and never fetch; a key becomes an intent
//! that the application acts on.

pub mod cli;
pub mod clock;
pub mod exit;
pub mod exposition;
pub mod input;
pub mod log;
pub mod program;
pub mod record;
pub mod report;
pub mod run;
pub mod screenshot;
pub mod script;
pub mod source;
pub mod state;
pub mod terminal;
pub mod tui;
pub mod view;
