//! Modules import each other without circles, and crates depend only on crates below them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use rsd_repository::{SourceCrate, crates, files, is_test, shown, text};
use syn::{Item, UseTree, visit::Visit};

/// Which crates of this workspace each one may depend on, lowest first. Among them only `mistralrs-rsd` may name the engine.
const LAYERS: &[(&str, &[&str])] = &[
    ("rsd-files", &[]),
    ("rsd-statistics", &[]),
    ("rsd-grading", &[]),
    ("rsd-checks", &["rsd-grading"]),
    ("rsd-protocol", &[]),
    ("rsd-sandbox", &[]),
    ("rsd-core", &["rsd-protocol", "rsd-statistics"]),
    ("rsd-vocabulary", &[]),
    ("rsd-remote", &["rsd-core", "rsd-protocol", "rsd-vocabulary"]),
    ("rsd-rewards", &["rsd-checks", "rsd-core"]),
    ("rsd-config", &["rsd-core", "rsd-files", "rsd-protocol"]),
    ("rsd-server", &["rsd-config", "rsd-core", "rsd-files", "rsd-protocol"]),
    (
        "rsd-evaluation",
        &["rsd-config", "rsd-core", "rsd-files", "rsd-grading", "rsd-protocol", "rsd-sandbox", "rsd-statistics"],
    ),
    (
        "rsd-head",
        &[
            "rsd-checks",
            "rsd-config",
            "rsd-core",
            "rsd-evaluation",
            "rsd-files",
            "rsd-grading",
            "rsd-protocol",
            "rsd-statistics",
            "rsd-vocabulary",
        ],
    ),
    (
        "mistralrs-rsd",
        &[
            "rsd-checks",
            "rsd-config",
            "rsd-core",
            "rsd-evaluation",
            "rsd-files",
            "rsd-grading",
            "rsd-head",
            "rsd-protocol",
            "rsd-remote",
            "rsd-rewards",
            "rsd-server",
            "rsd-statistics",
            "rsd-vocabulary",
        ],
    ),
    ("rsd-console", &["rsd-files", "rsd-protocol"]),
];

#[test]
fn crates_depend_only_on_those_below_them_and_one_names_the_engine() {
    for each in crates() {
        let manifest: toml::Table = text(&each.sources.join("../Cargo.toml")).parse().unwrap();
        let name = manifest["package"]["name"].as_str().unwrap();
        let (_, allowed) =
            LAYERS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name}: no layer"));
        for dependency in manifest["dependencies"].as_table().into_iter().flat_map(|table| table.keys()) {
            if dependency.starts_with("rsd-") || dependency == "mistralrs-rsd" {
                assert!(allowed.contains(&dependency.as_str()), "{name} depends on {dependency}");
            }
            if dependency.starts_with("mistralrs-") {
                assert_eq!(name, "mistralrs-rsd", "{name} depends on {dependency}");
            }
        }
    }
}

#[test]
fn top_modules_of_a_crate_import_each_other_without_circles() {
    let mut circles = Vec::new();
    for each in crates() {
        let modules = children(&each.sources);
        let mut arrows = BTreeMap::<String, BTreeSet<String>>::new();
        for path in sources(&each) {
            let Some(from) = first_module(&each.sources, &path) else { continue };
            let imports = Imports::of(&path, "crate");
            arrows.entry(from).or_default().extend(imports.into_iter().filter(|module| modules.contains(module)));
        }
        find_circles(&each.name, &arrows, &mut circles);
    }
    assert!(circles.is_empty(), "circles of imports:\n{}", circles.join("\n"));
}

#[test]
fn neighbors_in_a_folder_import_each_other_without_circles() {
    let mut circles = Vec::new();
    for each in crates() {
        let mut folders = BTreeSet::new();
        for path in sources(&each) {
            folders.insert(path.parent().unwrap().to_path_buf());
        }
        for folder in folders.iter().filter(|folder| **folder != each.sources) {
            let modules = children(folder);
            let mut arrows = BTreeMap::<String, BTreeSet<String>>::new();
            for path in sources(&each).into_iter().filter(|path| path.parent() == Some(folder)) {
                let from = path.file_stem().unwrap().to_string_lossy().into_owned();
                if from == "mod" {
                    continue;
                }
                let imports = Imports::of(&path, "super");
                arrows.insert(from, imports.into_iter().filter(|module| modules.contains(module)).collect());
            }
            find_circles(&shown(folder), &arrows, &mut circles);
        }
    }
    assert!(circles.is_empty(), "circles of imports:\n{}", circles.join("\n"));
}

fn sources(of: &SourceCrate) -> Vec<std::path::PathBuf> {
    let inside = files(&shown(&of.sources), &["rs"]);
    inside.into_iter().filter(|path| !is_test(path)).collect()
}

/// The modules whose files stand in this folder.
fn children(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries.map(|entry| entry.path().file_stem().unwrap().to_string_lossy().into_owned()).collect()
}

/// The top module that a file belongs to; `None` for the crate's root.
fn first_module(sources: &Path, path: &Path) -> Option<String> {
    let first = path.strip_prefix(sources).unwrap().components().next()?;
    let name = Path::new(first.as_os_str()).file_stem()?.to_string_lossy().into_owned();
    (name != "lib" && name != "main").then_some(name)
}

/// The names that follow `crate::` or `super::` in a file, its unit tests left out.
struct Imports {
    start: &'static str,
    found: BTreeSet<String>,
}

impl Imports {
    fn of(path: &Path, start: &'static str) -> BTreeSet<String> {
        let file = syn::parse_file(&text(path)).unwrap_or_else(|error| panic!("{}: {error}", shown(path)));
        let mut imports = Self { start, found: BTreeSet::new() };
        imports.visit_file(&file);
        imports.found
    }

    fn tree(&mut self, tree: &UseTree, after: bool) {
        match tree {
            UseTree::Path(path) if after => _ = self.found.insert(path.ident.to_string()),
            UseTree::Path(path) if path.ident == self.start => self.tree(&path.tree, true),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(item, after)),
            UseTree::Name(name) if after => _ = self.found.insert(name.ident.to_string()),
            UseTree::Rename(name) if after => _ = self.found.insert(name.ident.to_string()),
            _ => {}
        }
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Mod(module) => &module.attrs,
            Item::Use(each) => &each.attrs,
            Item::Fn(each) => &each.attrs,
            Item::Impl(each) => &each.attrs,
            _ => return syn::visit::visit_item(self, item),
        };
        let tests = |attribute: &syn::Attribute| {
            attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|cfg| cfg == "test")
        };
        // Imports by `super` inside an inline module start from there.
        let inline = matches!(item, Item::Mod(module) if module.content.is_some()) && self.start == "super";
        if !attributes.iter().any(tests) && !inline {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&item.tree, false);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = path.segments.iter();
        if segments.next().is_some_and(|first| first.ident == self.start)
            && let Some(second) = segments.next()
        {
            self.found.insert(second.ident.to_string());
        }
        syn::visit::visit_path(self, path);
    }
}

/// Adds every circle of imports to `circles`, once, from its first module in alphabetical order.
fn find_circles(place: &str, arrows: &BTreeMap<String, BTreeSet<String>>, circles: &mut Vec<String>) {
    for start in arrows.keys() {
        let mut reached = BTreeSet::new();
        let mut open: Vec<Vec<&str>> = vec![vec![start]];
        while let Some(way) = open.pop() {
            let last = way[way.len() - 1];
            for next in arrows.get(last).into_iter().flatten().filter(|next| *next != last && *next >= start) {
                if next == start {
                    circles.push(format!("{place}: {} -> {start}", way.join(" -> ")));
                } else if reached.insert(next.as_str()) {
                    open.push([way.as_slice(), &[next.as_str()]].concat());
                }
            }
        }
    }
}
