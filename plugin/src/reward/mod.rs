//! How a drafted step is scored.

pub mod collect;
pub mod features;
pub mod format;
pub mod graft;
pub mod head;
mod judge;
pub mod layer;
mod packed;
mod published;
mod resident;
mod separate;
pub mod so_far;
pub mod training;

pub use head::Head;
pub use judge::Judge;
pub use published::{Published, prepare};
pub use resident::Resident;
pub use separate::SeparatePrm;
