//! Rewards that know no engine: [`CheckedReward`] rejects false steps, [`HttpReward`] asks a scorer of the user's own,
//! [`JudgeReward`] asks a chat model for a grade, [`WeightedReward`] combines several.

#![cfg_attr(test, allow(clippy::float_cmp, reason = "the tests state which numbers are exact"))]

mod checked;
mod http;
mod judge;
mod scorer_health;
mod weighted;

pub use checked::CheckedReward;
pub use http::{HttpReward, HttpScorer};
pub use judge::JudgeReward;
pub use weighted::WeightedReward;

#[cfg(test)]
mod testing;
