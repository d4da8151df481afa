//! How a drafted step is scored.

pub mod collect;
pub mod features;
pub mod graft;
pub mod head;
mod judge;
mod resident;
pub mod so_far;
pub mod training;

pub use head::Head;
pub use judge::Judge;
pub use resident::Resident;
