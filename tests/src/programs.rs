//! Starts the running test binary again, as the server or as the console.
//!
//! Cargo does not build the programs of other packages for a test, and a program from an earlier build may be
//! outdated. So a test binary that needs a program has an ignored test named `program` that calls [`run_requested`].

use std::{
    ffi::OsString,
    process::{Command, exit},
};

use clap::Parser;

/// Environment variable with the program's name and its arguments, separated by line breaks.
pub const PROGRAM: &str = "RSD_TEST_PROGRAM";

/// Arguments with which the test binary runs only the test `program` and prints its output.
const ONLY: [&str; 5] = ["program", "--exact", "--ignored", "--nocapture", "--quiet"];

/// Separates the program's arguments in [`PROGRAM`].
const SEPARATOR: char = '\n';

/// Runs the program that [`PROGRAM`] names and exits with its code. Returns only if the variable is not set.
pub fn run_requested() {
    let Ok(line) = std::env::var(PROGRAM) else { return println!("{PROGRAM} names no program") };
    let words: Vec<OsString> = line.split(SEPARATOR).map(OsString::from).collect();
    if line.starts_with("rsd-console") {
        exit(rsd_console::run_program(words).into());
    }
    let serves = words.iter().any(|word| word == "serve");
    let cli = mistralrs_rsd::cli::Cli::parse_from(words);
    if serves {
        cli.start_log();
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    exit(runtime.block_on(cli.run()).into());
}

fn joined(words: &[&str]) -> String {
    words.join(&SEPARATOR.to_string())
}

/// A command that runs the program with these arguments as a child process.
pub fn command(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(ONLY).env(PROGRAM, joined(words));
    command
}

/// The same command as a line for a shell.
pub fn shell(words: &[&str]) -> String {
    let test = std::env::current_exe().unwrap();
    let line = joined(words);
    format!("{PROGRAM}='{line}' '{}' {}", test.display(), ONLY.join(" "))
}
