//! How a drafted step is scored.

pub mod collect;
pub mod features;
pub mod graft;
pub mod head;
mod judge;
pub mod linear;
mod resident;

pub use head::{Head, HeadError};
pub use judge::Judge;
pub use resident::Resident;
