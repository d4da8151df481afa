//! `mistralrs-rsd eval`, `calibrate` and `bench`, run as child processes on two tiny models.
#![allow(clippy::unwrap_used, clippy::panic, clippy::float_cmp)]

mod bench;
mod calibrate;
mod code;
mod methods;
mod oracle;
mod remote;
mod resume;
mod run_folder;
mod setup;
mod speculative;

/// The program that the tests start as a child process.
#[test]
#[ignore = "not a test: other tests start it as mistralrs-rsd"]
fn program() {
    rsd_tests::programs::run_requested();
}
