//! Reward models that run in an engine of this process.

mod engine_reader;

pub use engine_reader::EngineReader;
pub use rsd_head::standalone_prm::StandalonePrm;
