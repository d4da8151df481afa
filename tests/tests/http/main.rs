//! The server over HTTP, on tiny random models through the real engine.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::float_cmp)]

mod errors;
mod requests;
mod resident;
mod support;
