//! Every command that a document shows is valid: the programs accept its arguments, and its recipes and files exist.
//! Source files that a document names exist, too.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{CommandFactory, Parser};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A command that a document shows after a `$`, and its place.
struct ShownCommand {
    place: String,
    words: Vec<String>,
}

fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            documents(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") && name != "CHANGELOG.md" {
            found.push(path);
        }
    }
}

fn shown_commands() -> Vec<ShownCommand> {
    let mut paths = Vec::new();
    documents(&root(), &mut paths);
    let mut commands = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap().replace("\\\n", " ");
        let mut fenced = false;
        for line in text.lines() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            }
            let Some(line) = line.trim_start().strip_prefix("$ ").filter(|_| fenced) else { continue };
            let place = format!("{}: {line}", path.strip_prefix(root()).unwrap().display());
            let words = shlex::split(line).unwrap_or_else(|| panic!("{place}: the quotes do not match"));
            for part in words.split(|word| ["&&", "|", ";", "&"].contains(&word.as_str())) {
                let words = part.iter().take_while(|word| !word.starts_with('#') && !word.starts_with('>'));
                let set = |word: &&String| {
                    word.split_once('=')
                        .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
                };
                let words: Vec<String> = words.skip_while(set).cloned().collect();
                if !words.is_empty() {
                    commands.push(ShownCommand { place: place.clone(), words });
                }
            }
        }
    }
    commands
}

/// What is wrong with a command; `None` if it is valid.
fn problem(words: &[String]) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    let after = |mark: &str| arguments.iter().position(|word| word == mark).map(|at| &arguments[at + 1..]);
    match program.rsplit('/').next()? {
        "mistralrs-rsd" => mistralrs_rsd::cli::Cli::try_parse_from(words).err().filter(is_fault).map(|e| e.to_string()),
        "rsd-console" => rsd_console::cli::Cli::try_parse_from(words).err().filter(is_fault).map(|e| e.to_string()),
        "cargo" => {
            let run =
                ["mistralrs-rsd", "rsd-console"].into_iter().find(|name| arguments.iter().any(|word| word == name));
            match (arguments.first()?.as_str(), run, after("--")) {
                ("run", Some(name), rest) => problem(&[&[name.to_owned()], rest.unwrap_or_default()].concat()),
                ("install", ..) => {
                    let path = after("--path").and_then(|rest| rest.first());
                    path.filter(|path| !root().join(path).join("Cargo.toml").is_file()).map(|path| format!("no {path}"))
                }
                (known, ..) => {
                    let all = [
                        "run", "test", "build", "bench", "clippy", "deny", "doc", "fast", "fmt", "fuzz", "nextest",
                        "t", "tree", "update", "+nightly", "insta",
                    ];
                    (!all.contains(&known)).then(|| format!("cargo {known}"))
                }
            }
        }
        "just" => {
            let recipes = fs::read_to_string(root().join("justfile")).unwrap();
            let recipe = arguments.first()?;
            (!recipes.lines().any(|line| line.starts_with(&format!("{recipe}:"))))
                .then(|| format!("no recipe {recipe}"))
        }
        _ => {
            let files = words.iter().filter(|word| {
                ["examples/", "config/", "docs/", ".ci/", "tests/", "plugin/"].iter().any(|top| word.starts_with(top))
            });
            let missing = files.filter(|file| !file.contains('*') && !root().join(file).exists()).cloned();
            missing.map(|file| format!("no {file}")).next()
        }
    }
}

/// clap also reports `--help` and `--version` as errors, which are not faults.
fn is_fault(error: &clap::Error) -> bool {
    error.use_stderr()
}

#[test]
fn every_command_in_the_documents_exists() {
    let commands = shown_commands();
    let ours =
        |program: &str| commands.iter().filter(|command| command.words.iter().any(|word| word == program)).count();
    assert!(ours("mistralrs-rsd") > 5 && ours("rsd-console") > 1, "the documents' commands are not found");
    let wrong =
        commands.iter().filter_map(|command| Some(format!("{}\n    {}", command.place, problem(&command.words)?)));
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{} commands:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_source_file_in_the_documents_exists() {
    let mut paths = Vec::new();
    documents(&root(), &mut paths);
    let mut missing = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        // Every second part stands between backticks.
        for name in text.split('`').skip(1).step_by(2) {
            let is_source =
                ["plugin/", "console/", "tests/", "examples/", "config/"].iter().any(|top| name.starts_with(top));
            let is_path = name.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            if is_source && is_path && !name.contains("NAME") && !root().join(name).exists() {
                missing.push(format!("{}: {name}", path.strip_prefix(root()).unwrap().display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    let words = |line: &str| shlex::split(line).unwrap();
    for line in [
        "mistralrs-rsd serve --no-such",
        "rsd-console --no-such",
        "just no-such",
        "cargo no-such",
        "bash examples/no-such.sh",
        "cargo run --bin mistralrs-rsd -- no-such",
    ] {
        assert!(problem(&words(line)).is_some(), "{line}");
    }
    assert_eq!(problem(&words("mistralrs-rsd --help")), None);
    assert!(mistralrs_rsd::cli::Cli::command().get_subcommands().count() > 5);
}
