//! Reward-Guided Speculative Decoding for mistral.rs, in one process on one device.
#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod policy;
