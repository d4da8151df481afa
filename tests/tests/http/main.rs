//! The server over HTTP: on tiny random models through the real engine, and once on the demo pair.
#![allow(missing_docs)]

mod demo;
mod errors;
mod requests;
mod support;
