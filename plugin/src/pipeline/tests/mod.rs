//! The loop on scripted models: what it promises for every input, and what it does when a role breaks.

mod failures;
mod laws;
pub(crate) mod scripted;
