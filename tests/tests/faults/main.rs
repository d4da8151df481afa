//! A server that is treated badly: clients that leave, bursts, a deployment file that hangs, signals, and kills. The
//! server runs as a child process on two tiny models.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::float_cmp, reason = "small whole numbers")]

mod campaign;
mod client;
mod kills;
mod overload;
mod scarce_descriptors;
mod service_manager;
mod signals;
mod vital_signs;

/// The program that the tests start as a child process.
#[test]
#[ignore = "not a test: other tests start it as the server"]
fn program() {
    rsd_tests::programs::run_requested();
}
