//! How a drafted step is scored.

mod judge;
pub mod training;

pub use judge::Judge;
