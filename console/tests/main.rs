//! The console as a whole: drawn on a test backend, against a server made of the protocol's own types, and in a real
//! terminal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::float_cmp, clippy::format_push_string)]

mod clocks;
mod editing;
mod endurance;
mod exposition;
mod fake;
mod faults;
mod fixture;
mod pty;
mod scripts;
mod terminal;
mod views;
