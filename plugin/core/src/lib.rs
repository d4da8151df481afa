//! The loop of Reward-Guided Speculative Decoding (RSD), without any inference engine.
//!
//! [`pipeline`] drives a draft, a reward model and a target through the traits of [`pipeline::roles`]. [`policy`] accepts
//! or rejects each step of the draft. [`prediction`] predicts the effect of another policy from the steps observed so
//! far. The crate `mistralrs-rsd` implements the roles with mistral.rs.

#![cfg_attr(test, allow(clippy::float_cmp, reason = "the tests state which numbers are exact"))]

mod costs;
pub mod features;
pub mod logits;
pub mod pipeline;
pub mod policy;
pub mod prediction;
pub mod sampling;
pub mod warmup;
