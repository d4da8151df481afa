//! Test data and helpers for this crate's tests, benchmarks and fuzz target, and for the end-to-end tests of the
//! workspace. Compiled only with the feature `test-support`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::format_push_string
)]

pub mod exposition_laws;
pub mod fixture;
pub mod pseudo_terminal;
