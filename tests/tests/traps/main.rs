//! Tests of the traps of mistral.rs 0.8.1, which docs/mistralrs.md lists by letter. For each trap one test shows that
//! our work-around is right and, where that is cheap, one named `..._still_bites` shows that plain use of mistral.rs
//! is wrong.
//!
//! When a `..._still_bites` test fails, mistral.rs has mended that trap and the work-around can be removed. The
//! engine is the real one; the models are tiny and random (`rsd_tests::tiny_model`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

mod cache;
mod chat;
mod gguf;
mod lifecycle;
mod prefill;
mod proposals;
mod raw;
mod resident;
mod sampler;
mod test_engine;
