//! Published reward models give the same scores in the real engine as in their authors' code.
//!
//! The checkpoints are tiny and random, one per family. The expected scores come from Hugging Face transformers
//! (`fixtures/prm/make.py`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

mod context;
mod deployment;
mod gguf;
mod labels;
mod loaded;
mod scores;
