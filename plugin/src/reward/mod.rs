//! How a drafted step is scored.

mod judge;
pub mod so_far;
pub mod training;

pub use judge::Judge;
