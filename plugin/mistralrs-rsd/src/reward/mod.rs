//! Reward models that run in an engine of their own.

mod judge;
mod standalone_prm;

pub use judge::JudgeReward;
pub use standalone_prm::StandalonePrm;
