//! Fuzzes the parser of `/metrics` with the properties that also the tests check.
#![no_main]

use libfuzzer_sys::fuzz_target;

use rsd_console::test_support::exposition_laws as laws;

fuzz_target!(|bytes: &[u8]| laws::check(&String::from_utf8_lossy(bytes)));
