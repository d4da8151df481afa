//! The binary as a shell sees it: its output, its errors and its exit status. No models are needed.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// The binary with an empty environment and an empty home folder.
fn program(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mistralrs-rsd"));
    command.args(words).env_clear().env("HOME", home).current_dir(repository());
    command
}

fn mistralrs_rsd(home: &Path, words: &[&str]) -> Output {
    program(home, words).output().unwrap()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Standard output of a line that must succeed.
fn stdout_of(words: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let output = mistralrs_rsd(home.path(), words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Exit code, standard output and standard error of a line that must fail.
fn failed(words: &[&str]) -> (i32, String, String) {
    let home = tempfile::tempdir().unwrap();
    let output = mistralrs_rsd(home.path(), words);
    assert!(!output.status.success(), "{words:?} succeeded");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn shipped() -> Vec<String> {
    let files = std::fs::read_dir(repository().join("config")).unwrap().map(|entry| entry.unwrap().path());
    let yaml = files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    yaml.map(|file| file.to_str().unwrap().to_owned()).collect()
}

#[test]
fn help_names_every_command_and_version_the_version() {
    let help = stdout_of(&["--help"]);
    for command in ["serve", "run", "models", "config", "completions"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command} is not in\n{help}");
        assert!(stdout_of(&[command, "--help"]).contains("Usage:"), "{command}");
    }
    assert_eq!(stdout_of(&["--version"]), format!("mistralrs-rsd {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_shipped_deployment_passes_its_check() {
    let files = shipped();
    assert!(files.len() >= 5, "{files:?}");
    let words: Vec<&str> = ["config", "check"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let out = stdout_of(&words);
    assert_eq!(out.lines().filter(|line| line.ends_with(": ok")).count(), files.len(), "{out}");
}

#[test]
fn a_broken_deployment_is_named_with_line_and_setting() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken.yaml");
    std::fs::write(&file, "version: 1\nroles:\n  draft: {bundled: draft}\npolicy:\n  delta: high\n").unwrap();
    let file = file.to_str().unwrap();
    let (code, out, err) = failed(&["config", "check", file]);
    assert_eq!(code, 1);
    assert!(out.starts_with(&format!("{file}:5:")) && out.contains("policy.delta: expected a number"), "{out}");
    assert_eq!(err, "error: 1 of 1 files are invalid\n");
    let (code, out, err) = failed(&["config", "check", "no/such.yaml"]);
    assert_eq!(code, 1);
    assert!(out.contains("no/such.yaml: expected a readable YAML file"), "{out}{err}");
}

#[test]
fn show_and_schema_print_what_is_in_effect() {
    let shown = stdout_of(&["config", "show", "config/demo.yaml", "--set", "policy.delta=0.6"]);
    assert!(shown.lines().any(|line| line.split_whitespace().eq(["policy.delta", "0.6", "flag", "--set"])), "{shown}");
    let schema: serde_json::Value = serde_json::from_str(&stdout_of(&["config", "schema"])).unwrap();
    assert!(schema["properties"]["roles"].is_object());
}

#[test]
fn completions_are_for_the_shell_that_was_named() {
    assert!(stdout_of(&["completions", "bash"]).contains("-F _mistralrs__rsd "));
    assert!(stdout_of(&["completions", "fish"]).contains("complete -c mistralrs-rsd"));
}

#[test]
fn models_are_listed_before_any_is_fetched() {
    let listed: serde_json::Value = serde_json::from_str(&stdout_of(&["models", "list", "--json"])).unwrap();
    let listed = listed.as_array().unwrap();
    assert!(listed.len() >= 2);
    assert!(listed.iter().all(|model| model["partial_bytes"] == 0), "{listed:?}");
    assert!(stdout_of(&["models", "list"]).contains("draft"));
}

#[test]
fn serve_shows_its_deployment_and_rejects_unsupported_options() {
    let shown = stdout_of(&["serve", "--rsd", "config/demo.yaml", "-p", "8080", "--dry-run"]);
    assert!(shown.lines().any(|line| line.split_whitespace().eq(["server.port", "8080", "flag", "--port"])), "{shown}");
    for (words, part) in [
        (&["serve", "--rsd", "config/demo.yaml", "--ui"][..], "--ui is not supported"),
        (&["serve", "--rsd", "config/demo.yaml", "--isq", "4"], "--isq describes the target model"),
        (&["serve"], "no deployment file"),
        (&["serve", "--rsd", "no/such.yaml"], "no/such.yaml"),
        (&["serve", "--rsd", "config/demo.yaml", "--set", "policy.delta=9"], "policy.delta"),
    ] {
        let (code, out, err) = failed(words);
        assert_eq!((code, out.as_str()), (1, ""), "{words:?}");
        assert!(err.starts_with("error: ") && err.contains(part), "{words:?}: {err}");
    }
}

#[test]
fn rsd_without_a_file_serves_the_demo_in_any_folder() {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mistralrs-rsd"))
        .args(["serve", "--rsd", "--dry-run"])
        .env_clear()
        .env("HOME", home.path())
        .current_dir(home.path())
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.lines().any(|line| line.split_whitespace().take(2).eq(["roles.draft.bundled", "draft"])), "{shown}");
}

#[test]
fn an_old_name_of_a_command_works_with_a_warning() {
    let (code, _, err) = failed(&["prm", "graft", "folder", "--head", "head.safetensors"]);
    assert_eq!(code, 1);
    assert!(err.starts_with("warning: `prm graft` is now `prm prepare`"), "{err}");
}

#[test]
fn an_invalid_command_line_exits_with_the_status_of_clap() {
    for words in [&["sevre"][..], &["serve", "--no-such-option"], &["config", "check"], &[]] {
        let (code, _, err) = failed(words);
        assert_eq!(code, 2, "{words:?}");
        assert!(err.contains("Usage:"), "{words:?}: {err}");
    }
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let home = tempfile::tempdir().unwrap();
    let empty = ["RSD_CONFIG", "RSD_LOG_FORMAT", "RSD_MODELS_PATH", "RUST_LOG", "NO_COLOR"].map(|name| (name, ""));
    for words in [&["models", "list"][..], &["models", "pull", "--dry-run"], &["serve", "--rsd", "--dry-run"]] {
        let output = program(home.path(), words).envs(empty).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let output = program(home.path(), &["serve"]).envs(empty).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && err.contains("no deployment file"), "{err}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_standard_error_that_cannot_be_written_changes_no_exit_status() {
    use std::process::Stdio;

    let home = tempfile::tempdir().unwrap();
    for words in [&["config", "check", "no/such.yaml"][..], &["prm", "graft", "folder", "--head", "head.safetensors"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (reader, closed) = std::io::pipe().unwrap();
        drop(reader);
        for err in [Stdio::from(full), Stdio::from(closed)] {
            let status = program(home.path(), words).stdout(Stdio::null()).stderr(err).status().unwrap();
            assert_eq!(status.code(), Some(1), "{words:?}");
        }
    }
}

/// Commands that print without a model.
const PRINTING: [&[&str]; 8] = [
    &["completions", "bash"],
    &["completions", "zsh"],
    &["config", "show", "config/demo.yaml"],
    &["config", "schema"],
    &["serve", "--rsd", "config/demo.yaml", "--dry-run"],
    &["estimate", "--draft", "1.5B", "--target", "7B"],
    &["models", "list"],
    &["eval", "--rsd", "config/demo.yaml", "--out", "no-such-folder", "--dry-run"],
];

/// Runs a command with this standard output; returns its exit code and standard error.
#[cfg(target_os = "linux")]
fn printing_to(out: std::process::Stdio, words: &[&str]) -> (Option<i32>, String) {
    let home = tempfile::tempdir().unwrap();
    let output = program(home.path(), words).stdout(out).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error_in_one_line() {
    for words in PRINTING {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (code, err) = printing_to(full.into(), words);
        let error = err.lines().last().unwrap_or_default();
        assert_eq!(code, Some(1), "{words:?}: {err}");
        assert!(error.starts_with("error: ") && error.contains("No space left") && !err.contains("panicked"), "{err}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_closed_pipe_is_the_end_without_a_word() {
    for words in PRINTING {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let (code, err) = printing_to(writer.into(), words);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{words:?}");
    }
}
