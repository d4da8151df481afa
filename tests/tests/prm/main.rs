//! Published reward models score as their authors' code does.
//!
//! The checkpoints are tiny and random, one per family, and the scores come from Hugging Face transformers
//! (`fixtures/prm/make.py`). Ours run through the real engine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

mod context;
mod deployed;
mod exact;
mod labels;
mod packed;
mod rig;
