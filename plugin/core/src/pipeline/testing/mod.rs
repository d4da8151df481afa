//! Scripted models: their next token is a function of their seed and the text so far, drawn with the real sampler.
//!
//! All their waits pass a [`WaitValve`], where a test can make one hang or cancel the request.

mod scripted_model;
mod scripted_reward;
mod scripted_run;
mod wait_valve;
mod world;

use std::hash::{DefaultHasher, Hash, Hasher};

pub use self::{
    scripted_model::ScriptedModel,
    scripted_reward::{RewardFault, ScriptedReward},
    wait_valve::WaitValve,
    world::{ScriptedAnswer, World},
};

/// What the models can generate; the end token comes after it.
pub const ALPHABET: &[u8] = b"abcdX|";
pub const PROMPT: &str = "Q: ";

/// A hash that is the same on every run.
pub fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(future)
}
