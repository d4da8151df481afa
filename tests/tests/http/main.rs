//! The server over HTTP, on tiny random models through the real engine.
#![allow(missing_docs)]

mod errors;
mod requests;
mod resident;
mod support;
