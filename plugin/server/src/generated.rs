//! Keeps generated files current: tests compare them with the code, and `RSD_BLESS=1` writes them.

use std::{env, fs, path::PathBuf};

use serde_json::Value;

/// A file of the repository.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(name)
}

pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) fn must_be_current(name: &str, current: &str) {
    if env::var_os("RSD_BLESS").is_some() {
        fs::write(path(name), current).unwrap();
    }
    assert!(text(name) == current, "{name} is not current; write it with RSD_BLESS=1 cargo test -p rsd-server");
}

/// Keys are sorted: their order in a `Value` follows from what else is built with `serde_json`.
pub(crate) fn json_must_be_current(name: &str, current: &Value) {
    let mut sorted = current.clone();
    sorted.sort_all_objects();
    must_be_current(name, &(serde_json::to_string_pretty(&sorted).unwrap() + "\n"));
}
