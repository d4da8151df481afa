//! The console in a pseudo-terminal beside a real server on two tiny models, both run as child processes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::float_cmp)]

mod first_hour;
mod load;

/// The program that the tests start as a child process.
#[test]
#[ignore = "not a test: other tests start it as the server or the console"]
fn program() {
    rsd_tests::programs::run_requested();
}
