//! Unit tests stand in an inline `mod tests` or in `tests.rs` beside the module, others in a `tests/` folder; no crate
//! includes a file of another; what is random in a test has a seed.
#![allow(clippy::unwrap_used, clippy::panic)]

use rsd_repository::{files, is_test, shown, text};

const FOLDERS: [&str; 3] = ["plugin", "console", "tests"];

fn offending(line: impl Fn(&str) -> bool, file: impl Fn(&std::path::Path) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for path in FOLDERS.into_iter().flat_map(|folder| files(folder, &["rs"])).filter(|path| file(path)) {
        if shown(&path) == "tests/repository/tests/placement.rs" {
            continue;
        }
        let source = text(&path);
        let lines = source.lines().enumerate().filter(|(_, text)| line(text));
        found.extend(lines.map(|(number, text)| format!("{}:{}: {}", shown(&path), number + 1, text.trim())));
    }
    found
}

#[test]
fn tests_stand_in_one_of_two_places_and_no_file_is_included_from_elsewhere() {
    let included = offending(|line| line.trim_start().starts_with("#[path"), |_| true);
    assert!(included.is_empty(), "{}", included.join("\n"));
    let named = FOLDERS.into_iter().flat_map(|folder| files(folder, &["rs"]));
    let misnamed: Vec<_> = named.filter(|path| shown(path).ends_with("_tests.rs")).map(|path| shown(&path)).collect();
    assert!(misnamed.is_empty(), "name it tests.rs in a folder of its module: {misnamed:?}");
}

#[test]
fn what_is_random_in_a_test_has_a_seed() {
    let unseeded = |line: &str| {
        ["rand::rng(", "thread_rng(", "from_os_rng(", "from_entropy(", "rand::random("]
            .iter()
            .any(|call| line.contains(call))
    };
    let found = offending(unseeded, is_test);
    assert!(found.is_empty(), "{}", found.join("\n"));
}
