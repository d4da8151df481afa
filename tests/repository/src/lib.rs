//! Finds and parses the files of this repository, for the checks in `tests/`.

#![allow(clippy::expect_used, clippy::missing_panics_doc, clippy::panic, reason = "only tests use it")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The top of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file under `folder` (relative to the top) with one of these extensions, build outputs left out, sorted.
pub fn files(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(&root().join(folder), extensions, &mut found);
    found.sort();
    assert!(!found.is_empty(), "no {extensions:?} under {folder}");
    found
}

fn collect(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if path.is_dir() && !name.starts_with('.') && !["target", "corpus", "node_modules", "book"].contains(&&*name) {
            collect(&path, extensions, found);
        } else if path.extension().is_some_and(|own| extensions.iter().any(|wanted| own == *wanted)) {
            found.push(path);
        }
    }
}

/// A path as it is written from the top of the repository.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned()
}

/// The text of a file.
///
/// # Panics
/// It cannot be read.
pub fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A folder of a crate's sources, and the crate's name as it is written in `use`.
#[derive(Debug, Clone)]
pub struct SourceCrate {
    /// Such as `rsd_core`.
    pub name: String,
    /// Such as `plugin/core/src`.
    pub sources: PathBuf,
}

/// The crates of the workspace that are programs or libraries, from the members of the top `Cargo.toml`.
///
/// # Panics
/// A manifest cannot be parsed.
pub fn crates() -> Vec<SourceCrate> {
    let manifest: toml::Table = text(&root().join("Cargo.toml")).parse().expect("Cargo.toml");
    let members = manifest["workspace"]["members"].as_array().expect("members");
    let named = members.iter().filter_map(|member| member.as_str()).filter(|member| !member.starts_with("tests"));
    named
        .map(|member| {
            let own: toml::Table = text(&root().join(member).join("Cargo.toml")).parse().expect("Cargo.toml");
            let name = own["package"]["name"].as_str().expect("name").replace('-', "_");
            SourceCrate { name, sources: root().join(member).join("src") }
        })
        .collect()
}

/// Whether a file holds tests or what only tests use.
pub fn is_test(path: &Path) -> bool {
    let path = path.strip_prefix(root()).unwrap_or(path);
    path.components().any(|part| ["tests", "testing", "benches"].iter().any(|folder| part.as_os_str() == *folder))
        || path.file_stem().is_some_and(|stem| stem == "tests" || stem == "testing")
}
