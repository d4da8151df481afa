//! Reward-Guided Speculative Decoding for mistral.rs, in one process on one device.

pub mod cli;
pub mod config;
pub mod engine;
pub mod flops;
pub mod pipeline;
pub mod policy;
pub mod reward;
pub mod sampling;
