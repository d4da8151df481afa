//! Helpers for the end-to-end tests.

pub mod served;
pub mod tiny;
