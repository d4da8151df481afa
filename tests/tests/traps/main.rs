//! What mistral.rs 0.8.1 does that must be worked around: per trap a test that our way holds, and where it is
//! cheap a test named `..._still_bites` that the plain way still fails.
//!
//! A `..._still_bites` that fails is good news: mistral.rs has mended that trap, and what works around it may go.
//! Letters in names are those of the list of traps that the engine was built on. The engine is the real one; the
//! models are tiny and random (`rsd_tests::tiny`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

mod cache;
mod gguf;
mod lifecycle;
mod raw;
mod resident;
mod rig;
mod sampler;
