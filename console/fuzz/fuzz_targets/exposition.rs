//! Whatever a server answers for `/metrics`, the parser keeps its laws.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../laws.rs"]
mod laws;

fuzz_target!(|bytes: &[u8]| laws::hold(&String::from_utf8_lossy(bytes)));
