//! The OpenAI routes over HTTP, with the real engine on tiny random models.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::float_cmp)]

mod errors;
mod leavers;
mod requests;
mod resident;
mod support;
