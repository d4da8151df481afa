//! How a drafted step is scored.

pub mod format;
pub mod graft;
mod judge;
pub mod linear;
mod published;
mod separate;

pub use judge::Judge;
pub use published::{Published, prepare};
pub use separate::SeparatePrm;
