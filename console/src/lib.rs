//! The operator's terminal of mistralrs-rsd: whether RSD pays, at a glance, and its thresholds, with confidence.
//!
//! Sources fetch and never draw, state holds and does neither, views draw and never fetch; a key becomes an intent
//! that the application acts on.

pub mod clock;
pub mod exposition;
pub mod input;
pub mod source;
pub mod state;
