//! Tests of the whole console: drawn on a test backend, connected to a fake server, and in a real terminal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::float_cmp, clippy::format_push_string)]

mod clocks;
mod editing;
mod endurance;
mod exposition;
mod fake;
mod faults;
mod fleet_changes;
mod headline;
mod names;
mod navigation;
mod pty;
mod scripts;
mod themes;
mod views;
