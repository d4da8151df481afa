//! Reward heads and the models that they read.
//!
//! [`models`] fetches and verifies the bundled models. [`gguf`] and [`exposure`] make copies of a model whose logits
//! also contain its hidden state. [`collect`] and [`training`] make a head for a draft, and [`resident`] scores steps
//! with it, [`remote_resident`] those of a draft on a remote engine. [`prepare`] and [`format`](mod@format) load the published process reward models (PRMs) and build their
//! prompts, and [`standalone_prm`] scores steps with them. Tensors are candle's; mistral.rs is not compiled here.

#![cfg_attr(test, allow(clippy::float_cmp, reason = "the tests state which numbers are exact"))]

pub mod check_counts;
pub mod collect;
pub mod exposure;
pub mod format;
pub mod gguf;
pub mod head;
pub mod layer;
pub mod models;
mod prefix_statistics;
pub mod prepare;
pub mod progress;
pub mod remote_resident;
pub mod resident;
pub mod standalone_prm;
pub mod state_layout;
pub mod training;
pub mod weight_files;
