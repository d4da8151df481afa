//! How a drafted step is scored.

mod judge;

pub use judge::Judge;
